"""What a path leads to."""

import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.sources.guess import is_recipe, source_settings


def test_a_coco_file_finds_its_photographs(drawn, tmp_path):
    file = drawn.coco()
    assert source_settings(file) == {"coco": str(file), "images": str(tmp_path / "train-images")}
    (tmp_path / "images").mkdir()  # is there, and does not hold them
    assert source_settings(file)["images"] == str(tmp_path / "train-images")
    assert source_settings(file, tmp_path / "else")["images"] == str(tmp_path / "else")
    alone = tmp_path / "deep/er/alone.json"
    alone.parent.mkdir(parents=True)
    file.rename(alone)
    with pytest.raises(DataError) as raised:
        source_settings(alone)
    assert str(raised.value) == (
        f"images: expected the folder of the photographs of {alone}, got none beside it; name it, as images: D in a recipe or "
        "by --images D"
    )


def test_folders_are_known_by_what_is_in_them(drawn, tmp_path):
    assert source_settings(drawn.backgrounds()) == {"images": str(tmp_path / "backgrounds")}
    for year in ("VOC2007", "VOC2012"):
        for folder in ("Annotations", "JPEGImages"):
            (tmp_path / "kit" / year / folder).mkdir(parents=True)
        (tmp_path / "kit" / year / "Annotations/a.xml").write_text("<annotation/>")
    assert source_settings(tmp_path / "kit/VOC2007") == {"voc": str(tmp_path / "kit/VOC2007")}
    years = ["VOC2007", "VOC2012"]
    assert source_settings(tmp_path / "kit") == {"voc": str(tmp_path / "kit"), "folders": years}
    for year in years:  # as VOC's archives unpack, and as `terse generate --format voc` writes
        for part in ("Annotations", "JPEGImages"):
            (tmp_path / "set/VOCdevkit" / year / part).mkdir(parents=True)
    (tmp_path / "set/report.html").touch()
    assert source_settings(tmp_path / "set") == {"voc": str(tmp_path / "set/VOCdevkit"), "folders": years}
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/data.yaml").write_text("names: [ball]\ntrain: images\n")
    assert source_settings(tmp_path / "yolo") == {"yolo": str(tmp_path / "yolo")}
    assert source_settings(tmp_path / "yolo/data.yaml") == {"yolo": str(tmp_path / "yolo/data.yaml")}
    (tmp_path / "cut/ball").mkdir(parents=True)
    Image.fromarray(np.zeros((9, 9, 4), np.uint8)).save(tmp_path / "cut/ball/a.png")
    assert source_settings(tmp_path / "cut") == {"cutouts": str(tmp_path / "cut")}
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "cut/ball/b.png")
    assert source_settings(tmp_path / "cut") == {"images": str(tmp_path / "cut")}


def test_recipes_are_told_from_data(tmp_path):
    (tmp_path / "data.yaml").write_text("names: [ball]\ntrain: images\n")
    (tmp_path / "mine.yaml").write_text("base: detector\n")
    (tmp_path / "torn.yaml").write_text("a: [\n")
    told = {name: is_recipe(str(tmp_path / name)) for name in ("data.yaml", "mine.yaml", "torn.yaml", "none.yaml", "x")}
    assert told == {"data.yaml": False, "mine.yaml": True, "torn.yaml": True, "none.yaml": True, "x": False}
    assert is_recipe("quickstart")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none", "{path}: expected a recipe or data, got nothing there; see `terse recipes` for the built-in ones"),
        ("b.txt", "{path}: expected a recipe or data, got nothing there; did you mean 'a.txt'?"),
        ("none/a.txt", "{path}: expected a recipe or data, got nothing there; see `terse recipes` for the built-in ones"),
        ("a.txt", "{path}: expected a recipe, COCO JSON, a YOLO data.yaml or a folder, got a .txt file; "
         "give the file that names the images"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_one_sentence(tmp_path, name, message):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError) as raised:
        source_settings(tmp_path / name)
    assert str(raised.value) == message.format(path=tmp_path / name)


def pasted_object(colour):
    """An object on one colour, and the alpha that would cut it out."""
    image = np.full((60, 60, 4), (*colour, 0), np.uint8)
    image[10:50, 10:50] = (200, 40, 30, 255)
    return image


def test_cut_outs_beside_each_other_are_refused_with_what_is_expected(tmp_path):
    for name in "ab":
        Image.fromarray(pasted_object((0, 0, 0))).save(tmp_path / f"{name}.png")
    with pytest.raises(DataError) as raised:
        source_settings(tmp_path)
    assert str(raised.value) == (
        f"{tmp_path}: expected a folder for each class of cut-outs, got cut-outs beside each other, as "
        f"{next(tmp_path.glob('*.png')).name}; move them into {tmp_path / 'CLASS'}"
    )


def test_objects_on_one_colour_without_alpha_are_no_photographs(drawn, tmp_path):
    (tmp_path / "cup").mkdir()
    for name in "ab":
        Image.fromarray(pasted_object((0, 0, 0))[..., :3]).save(tmp_path / f"cup/{name}.png")
    with pytest.raises(DataError) as raised:
        source_settings(tmp_path)
    assert str(raised.value).startswith(
        f"{tmp_path}: expected photographs, or cut-outs with an alpha channel or a mask file each, got objects on one colour "
        "without either, as cup/"
    )
    drawn.picture("rooms/kitchen", "a.png", 1)
    drawn.picture("rooms/kitchen", "b.png", 2)
    assert source_settings(tmp_path / "rooms") == {"images": str(tmp_path / "rooms")}


def test_a_folder_of_coco_is_read_by_its_file(drawn, tmp_path):
    file = drawn.coco()
    folder = tmp_path / "export/train"
    (tmp_path / "train-images").rename(tmp_path / "moved")
    folder.parent.mkdir()
    (tmp_path / "moved").rename(folder)
    (folder / "_annotations.coco.json").write_bytes(file.read_bytes())
    expected = {"coco": str(folder / "_annotations.coco.json"), "images": str(folder)}
    assert source_settings(folder) == source_settings(folder.parent) == expected
    (folder / "other.json").write_bytes(file.read_bytes())
    with pytest.raises(DataError) as raised:
        source_settings(folder)
    assert str(raised.value) == (
        f"{folder}: expected one file of annotations, got _annotations.coco.json, other.json; give the one that is meant"
    )


@pytest.mark.parametrize("suffix", [".xml", ".json", ".txt", ".csv"])
def test_annotations_of_a_kind_that_is_not_known_are_said(drawn, suffix):
    folder = drawn.backgrounds()
    images = sorted(folder.iterdir())
    (folder / f"readme{suffix}").write_text("<a/>")
    assert source_settings(folder) == {"images": str(folder)}
    for image in images:
        image.with_suffix(suffix).write_text("<a/>")
    with pytest.raises(DataError) as raised:
        source_settings(folder)
    assert str(raised.value).startswith(
        f"{folder}: expected data of a kind that is known, got {len(images)} images and {len(images) + 1} {suffix} files ("
    )


@pytest.mark.parametrize(
    ("table", "text", "line"),
    [
        ("_annotations.csv", "filename,width,height,class,xmin,ymin,xmax,ymax\n", "{name},60,40,cup,1,1,9,9\n"),
        ("metadata.jsonl", "", '{{"file_name": "{name}", "objects": {{"bbox": [[1, 1, 8, 8]], "categories": [0]}}}}\n'),
        ("metadata.parquet", "PAR1", ""),
        ("labels/detections.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\n", "{stem},/m/01,.1,.4,.1,.4\n"),
    ],
)
def test_a_table_that_annotates_the_images_is_said(drawn, table, text, line):
    folder = drawn.backgrounds()
    images = sorted(folder.iterdir())
    (folder / "credits.csv").write_text("file,author\n" + "".join(f"{image.name},me\n" for image in images))
    assert source_settings(folder) == {"images": str(folder)}
    (folder / table).parent.mkdir(exist_ok=True)
    (folder / table).write_text(text + "".join(line.format(name=image.name, stem=image.stem) for image in images))
    with pytest.raises(DataError) as raised:
        source_settings(folder)
    assert str(raised.value).startswith(
        f"{folder}: expected data of a kind that is known, got {len(images)} images and a table that names them ({table}) of "
        "another; known are COCO, "
    )


def test_yolo_labels_without_their_yaml_are_told_what_to_write(tmp_path, drawn):
    folder = drawn.backgrounds()
    for image in sorted(folder.iterdir()):
        image.with_suffix(".txt").write_text("0 0.5 0.5 0.25 0.125\n")
    with pytest.raises(DataError) as raised:
        source_settings(folder)
    said = re.sub(r"\(.*\.txt\)", "(LABEL)", str(raised.value))
    assert said == (
        f"{folder}: expected YOLO data with a data.yaml, got labels of YOLO's form (LABEL) without one; write "
        f"{folder / 'data.yaml'}, which holds `train: images` and `names: [FIRST, SECOND, ...]`"
    )


def test_masks_without_xml_are_refused(tmp_path):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "SegmentationObject").mkdir()
    with pytest.raises(DataError, match=r"^.*: expected VOC's Annotations beside SegmentationObject, got masks alone"):
        source_settings(tmp_path)


@pytest.mark.parametrize("name", ["big.png", "ball/big.png"])
def test_a_picture_too_large_to_open_is_no_reason_to_stop(tmp_path, name):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    assert source_settings(tmp_path) == {"images": str(tmp_path)}


def test_files_that_macos_lays_beside_others_hide_nothing(tmp_path, drawn):
    labelled = tmp_path / "labelled"
    labelled.mkdir()
    for number in range(60):
        (labelled / f"._{number}.json").write_bytes(b"\0\5\26\7")
    (labelled / "z.json").write_text('{"shapes": [], "imagePath": "z.png"}')
    (labelled / "annotations.xml").write_text("<annotations></annotations>")
    assert source_settings(labelled) == {"labelme": str(labelled)}
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "obj.data").write_text("names = obj.names\n")
    (kept / "._obj.data").write_bytes(b"\0\5\26\7")
    assert source_settings(kept) == {"yolo": str(kept / "obj.data")}


def test_the_folder_of_annotations_may_be_written_in_capitals(tmp_path, drawn):
    file = drawn.coco()
    (tmp_path / "set/ANNOTATIONS").mkdir(parents=True)
    (tmp_path / "train-images").rename(tmp_path / "set/images")
    file.rename(tmp_path / "set/ANNOTATIONS/boxes.json")
    assert source_settings(tmp_path / "set")["coco"] == str(tmp_path / "set/ANNOTATIONS/boxes.json")
