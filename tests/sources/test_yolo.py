"""YOLO folders: boxes and outlines as fractions, and data.yaml as people write it."""

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError, RecipeError
from terse.sources.annotations import RemarkKind
from terse.sources.guess import is_recipe, source_settings
from terse.sources.masks import draw_mask
from terse.sources.yolo import YoloConfig, read_yolo


@pytest.fixture
def yolo(tmp_path, save):
    """A YOLO data set of these label files, an image each."""

    def write(labels, yaml="train: images\nnames: [person, dog]\n", root=tmp_path / "set"):
        for i, (stem, text) in enumerate(labels.items()):
            save(root / "images" / f"{stem}.png", seed=i)
            if text is not None:
                (root / "labels" / f"{stem}.txt").parent.mkdir(parents=True, exist_ok=True)
                (root / "labels" / f"{stem}.txt").write_text(text)
        (root / "data.yaml").write_text(yaml)
        return root

    return write


def skipped(annotations):
    return [str(item) for item in annotations.skipped]


def error_of(*args, **options):
    with pytest.raises((DataError, RecipeError)) as error:
        read_yolo(*args, **options)
    return str(error.value)


def test_boxes_and_outlines_are_read(yolo):
    outline = "0 0.25 0.1 0.5 0.1 0.5 0.5 0.25 0.5"
    notes = read_yolo(yolo({"a": f"1 0.5 0.5 0.25 0.2\n\n{outline}\n", "b": None, "c": ""}))
    assert notes.paths == ("images/a.png", "images/b.png", "images/c.png")
    assert notes.classes == ("person", "dog")
    assert notes.labels.tolist() == [1, 0]
    assert np.allclose(notes.boxes_px, [[15, 12, 25, 18], [10, 3, 20, 15]])
    assert notes.masks[0] is None
    assert int((draw_mask(notes.masks[1], notes.root, (40, 30)) > 0).sum()) == 10 * 12
    assert notes.object_keys == ("set/train:images/a.png:0", "set/train:images/a.png:2")
    assert notes.skipped == ()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2 0.5 0.5 0.1 0.1", ": expected a class number 0 to 1, got '2'; it is left out"),
        ("-1 0.5 0.5 0.1 0.1", ": expected a class number 0 to 1, got '-1'; it is left out"),
        ("person 0.5 0.5 0.1 0.1", ": expected a class number 0 to 1, got 'person'; it is left out"),
        ("0 0.5 0.5 0.1", ": expected x y w h or the x y of three points, got '0.5 0.5 0.1'; it is left out"),
        ("0 0.5 nan 0.1 0.1", ": expected x y w h or the x y of three points, got '0.5 nan 0.1 0.1'; it is left out"),
        ("0 0.5 x 0.1 0.1", ": expected x y w h or the x y of three points, got '0.5 x 0.1 0.1'; it is left out"),
        ("0 0.5 0.5 0 0.1", ".box: expected a box with an area, got 0x3; it is left out"),
        *(
            (
                f"0 {label}",
                f": expected fractions of the image's size, 0 to 1, got '{label}'; divide by it; it is left out",
            )
            for label in ("20 15 10 10", "4 6 10 20")  # the second one's box would be cut to the whole image
        ),
        ("0 0.5 0.5 0.5 0.5 0.5 0.5", ".outline: expected a box with an area, got 0x0; it is left out"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out_and_named(yolo, line, sentence):
    notes = read_yolo(yolo({"a": f"0 0.5 0.5 0.1 0.1\n{line}\n"}))
    assert skipped(notes) == [f"labels/a.txt, line 2{sentence}"]
    assert len(notes.labels) == 1


def test_a_label_file_of_other_bytes_is_named(yolo):
    root = yolo({"a": ""})
    (root / "labels/a.txt").write_bytes(b"\xff\xfe0 1")
    assert skipped(read_yolo(root)) == ["labels/a.txt: expected text, got other bytes; its objects are left out"]


def test_two_images_of_one_name_share_no_labels(yolo, save):
    root = yolo({"a": "0 0.5 0.5 0.1 0.1"})
    save(root / "images/a.jpg")
    notes = read_yolo(root)
    assert notes.paths == ("images/a.jpg",)
    assert skipped(notes) == [
        "images/a.png: expected labels of its own, got labels/a.txt, which images/a.jpg has too; rename one"
    ]


@pytest.mark.parametrize(
    "yaml", ["train: ../train/images\nnames: {0: person}\n", "path: train\ntrain: images\nnames: [person]\n"]
)
def test_the_ways_people_write_data_yaml(tmp_path, save, yaml):
    root = tmp_path / "set"
    save(root / "train/images/x.png")
    (root / "train/labels").mkdir()
    (root / "train/labels/x.txt").write_text("0 0.5 0.5 1 1")
    (root / "data.yaml").write_text(yaml)
    notes = YoloConfig(yolo=root / "data.yaml").build()
    assert notes.paths == ("train/images/x.png",)
    assert notes.boxes_px.tolist() == [[0, 0, 40, 30]]


def test_names_that_no_file_can_have_are_not_there(yolo):
    long = "a" * 600
    root = yolo({"a": None}, f"train: list.txt\nval: {long}\nnames: [person]\n")
    (root / "list.txt").write_text(f"images/{long}.png\nimages/a.png\n")
    images = read_yolo(root)
    assert images.paths == ("images/a.png",)
    assert len(images.skipped) == 1
    assert error_of(root, "val").startswith(
        "data.yaml: val: expected a folder of images or a list of them, got nothing"
    )


def test_a_split_may_be_a_list_of_files_or_several_places(yolo, save):
    root = yolo({"a": None, "b": None}, "train: [list.txt, more]\nval: images\nnames: [person]\n")
    save(root / "more/z.png")
    (root / "list.txt").write_text("./images/b.png\n\nimages/b.png\n")
    assert read_yolo(root).paths == ("images/b.png", "more/z.png")
    assert read_yolo(root, "val").paths == ("images/a.png", "images/b.png")
    (root / "more/z.txt").write_text("0 0.5 0.5 1 1")  # without a folder `images`, labels stand beside
    assert len(read_yolo(root).labels) == 1


def test_what_leads_out_of_the_folder_is_refused(yolo, save, tmp_path):
    save(tmp_path / "elsewhere/images/a.png")
    root = yolo({"a": None}, "path: ../elsewhere\ntrain: images\nnames: [person]\n")
    assert error_of(root) == (
        f"data.yaml: path: expected a path inside {root}, got '../elsewhere'; name the data set's folder by root"
    )
    assert read_yolo(root, root=tmp_path / "elsewhere").paths == ("images/a.png",)
    root = yolo({"a": None}, "train: /etc\nnames: [person]\n")
    assert (
        error_of(root) == f"data.yaml: train: expected a path inside {root}, got the absolute '/etc'; make it relative"
    )
    root = yolo({"a": None}, "train: list.txt\nnames: [person]\n")
    (root / "list.txt").write_text("../x.png\nimages/a.png\n")
    notes = read_yolo(root)
    assert notes.paths == ("images/a.png",)
    assert skipped(notes) == [
        f"list.txt, line 1: expected a path inside {root}, got './../x.png'; move the file into the folder"
    ]


def test_a_label_file_may_be_a_link(yolo, tmp_path):
    root = yolo({"a": ""})
    (tmp_path / "store.txt").write_text("0 0.5 0.5 1 1")
    (root / "labels/a.txt").unlink()
    (root / "labels/a.txt").symlink_to(tmp_path / "store.txt")
    assert len(read_yolo(root).labels) == 1


def texts(annotations, kind):
    return [remark.text for remark in annotations.remarks if remark.kind is kind]


def test_keypoints_are_kept_and_make_no_mask(yolo):
    line = "0 0.5 0.5 0.25 0.2 0.5 0.4 2 0 0 0"
    for yaml in ("kpt_shape: [2, 3]\n", ""):  # the visibilities tell it without the setting
        notes = read_yolo(yolo({"a": f"{line}\n1 0.5 0.5 0.1 0.1"}, f"train: images\nnames: [person, dog]\n{yaml}"))
        assert np.allclose(notes.boxes_px, [[15, 12, 25, 18], [18, 13.5, 22, 16.5]])
        assert notes.masks == (None, None)
        assert np.allclose(notes.keypoints, [[[20, 12, 2], [0, 0, 0]], np.zeros((2, 3))])
        assert len(texts(notes, RemarkKind.DOUBT)) == 1
    notes = read_yolo(
        yolo({"a": "0 0.5 0.5 0.25 0.2 0.5 0.4 0 0"}, "train: images\nnames: [person]\nkpt_shape: [2, 2]\n")
    )
    assert np.allclose(notes.keypoints, [[[20, 12, 2], [0, 0, 0]]])


def test_turned_boxes_are_boxes_and_upright_ones_outlines(yolo):
    turned = "0 0.5 0.2 0.7 0.46666667 0.5 0.73333333 0.3 0.46666667"
    upright = "0 0.25 0.1 0.5 0.1 0.5 0.5 0.25 0.5"
    notes = read_yolo(yolo({"a": f"{turned}\n{upright}"}))
    assert notes.masks == (None, None)
    assert np.allclose(notes.boxes_px[0], [12, 6, 28, 22])
    assert len(texts(notes, RemarkKind.DOUBT)) == 1
    assert read_yolo(yolo({"a": upright})).masked.all()
    triangle = "0 0.1 0.1 0.5 0.1 0.5 0.5"
    assert read_yolo(yolo({"a": f"{turned}\n{triangle}"})).masked.all()


@pytest.mark.parametrize(
    ("line", "masked"),
    [
        ("0.5 0.5 0.25 0.2 0.9", False),
        ("0.5 0.5 0.25 0.2 0.9 17", False),
        ("0.375 0.4 0.625 0.4 0.625 0.6 0.9", True),
        ("0.375 0.4 0.625 0.4 0.625 0.6 17", True),
        ("0.375 0.4 0.625 0.4 0.625 0.6 0.9 17", True),
    ],
)
def test_confidences_and_a_trackers_numbers_are_passed_over(yolo, line, masked):
    notes = read_yolo(yolo({"a": f"0 {line}"}))
    assert np.allclose(notes.boxes_px, [[15, 12, 25, 18]])
    assert notes.masked.tolist() == [masked]
    assert (notes.skipped, len(texts(notes, RemarkKind.READ_AS))) == ((), 1)


def test_turned_boxes_of_a_tracker_are_boxes(yolo):
    corners = " ".join(f"{x / 40:g} {y / 30:.6g}" for x, y in [(20, 10), (25, 15), (20, 20), (15, 15)])
    notes = read_yolo(yolo({"a": f"0 {corners} 0.9 1\n0 {corners} 0.8 2"}))
    assert np.allclose(notes.boxes_px, [[15, 10, 25, 20]] * 2, atol=1e-3)
    assert notes.masked.tolist() == [False, False]


def test_an_outline_that_ends_in_a_corner_is_no_trackers(yolo):
    corner = "0.5 0 1 1 0 1"
    notes = read_yolo(yolo({"a": f"0 {corner}\n0 0.375 0.4 0.625 0.4 0.625 0.6 0.4 0.6"}))
    assert (notes.boxes_px[0].tolist(), notes.masked.tolist(), notes.remarks) == ([0, 0, 40, 30], [True, True], ())


def test_a_keypoint_counts_as_seen_where_a_model_is_sure(yolo):
    yaml = "train: images\nkpt_shape: [2, 3]\nnames: [person]\n"
    notes = read_yolo(yolo({"a": "0 0.5 0.5 0.25 0.2 0.5 0.5 0.93 0.25 0.5 0.2"}, yaml))
    assert notes.keypoints[0].tolist() == [[20, 15, 2], [10, 15, 0]]


@pytest.mark.parametrize("number", ["0", "0.0", "0."])
def test_a_class_may_be_written_as_a_float(yolo, number):
    assert read_yolo(yolo({"a": f"{number}\t0.5\t0.5 0.1 0.1\r\n"})).labels.tolist() == [0]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("0 20 15 10 10", "expected fractions of the image's size, 0 to 1, got '20 15 10 10'; divide by it"),
        ("0 4 6 10 20", "expected fractions of the image's size, 0 to 1, got '4 6 10 20'; divide by it"),  # x0 y0 w h
        (
            "0 0,5 0,5 0,1 0,1",
            "expected decimal points and spaces, got commas in '0 0,5 0,5 0,1 0,1'; write 0.5, not 0,5",
        ),
    ],
)
def test_labels_that_are_all_no_fractions_are_refused(yolo, line, sentence):
    assert error_of(yolo({"a": line, "b": line})) == f"labels/a.txt, line 1: {sentence}"


def test_labels_that_are_not_found_are_said_with_where_they_are(yolo):
    root = yolo({"a": "0 0.5 0.5 0.1 0.1", "b": "0 0.5 0.5 0.1 0.1"})
    (root / "labels").rename(root / "lbl")
    assert texts(read_yolo(root), RemarkKind.UNLABELLED) == [
        "no label file was found: looked for labels/a.txt of images/a.png, and so on; lbl holds 2 of their names"
    ]


def test_images_turned_by_exif_are_said(yolo, save):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = yolo({"a": "0 0.5 0.5 0.1 0.1", "b": None})
    save(root / "images/a.png", 30, 40, exif=exif)
    save(root / "images/b.png", 30, 40, exif=exif)
    [text] = texts(read_yolo(root), RemarkKind.DOUBT)
    assert text.startswith("1 labelled images are turned by their EXIF, the first being images/a.png: ")


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        (
            "path: /content/set\ntrain: images\n",
            "data.yaml: path leads to '/content/set', which is not there; the set ",
        ),
        (
            "path: ../datasets/set\ntrain: images\n",
            "data.yaml: path leads to '../datasets/set', which is not there; the",
        ),
        ("train: /content/set/images\n", ""),
        ("train: C:\\content\\set\\images\n", ""),
        ("path: {root}\ntrain: images\n", ""),
        ("path: {root}\ntrain: {root}/images\n", ""),
        ("train: images\ntest: ../test/images\n", "data.yaml names test: ../test/images, which is not there"),
    ],
)
def test_paths_of_another_machine_mean_the_set_beside(yolo, yaml, said):
    root = yolo({"a": "0 0.5 0.5 0.1 0.1"})
    (root / "data.yaml").write_text(yaml.replace("{root}", str(root)) + "names: [person]\n")
    notes = read_yolo(root)
    assert (notes.paths, len(notes.labels)) == (("images/a.png",), 1)
    assert [text[: len(said)] for text in texts(notes, RemarkKind.READ_AS)] == ([said] if said else [])


@pytest.mark.parametrize(
    "line", ["images/a.png", "/data/set/images/a.png", "./images/a.png", "data/images/a.png", "{root}/images/a.png"]
)
def test_the_lines_of_a_list_are_found(yolo, line):
    root = yolo({"a": "0 0.5 0.5 0.1 0.1"}, "train: lists/train.txt\nnames: [person]\n")
    (root / "lists").mkdir()
    (root / "lists/train.txt").write_text(line.replace("{root}", str(root)) + "\n")
    assert read_yolo(root).paths == ("images/a.png",)


def test_classes_without_names_are_numbered(yolo):
    notes = read_yolo(yolo({"a": "1 0.5 0.5 0.1 0.1"}, "train: images\nnc: 2\n"))
    assert (notes.classes, notes.labels.tolist()) == (("0", "1"), [1])
    assert texts(notes, RemarkKind.READ_AS) == [
        "data.yaml gives the number of classes (nc) and no names: they are called 0 to 1"
    ]


def test_names_are_text_whatever_yaml_makes_of_it(yolo):
    notes = read_yolo(yolo({"a": "1 0.5 0.5 0.1 0.1"}, "train: images\nnames: [no, null, ~, true, 1.10, 012]\n"))
    assert (notes.classes, notes.labels.tolist()) == (("no", "null", "~", "true", "1.10", "012"), [1])


def test_classes_of_one_name_and_classes_without_one_are_said(yolo):
    notes = read_yolo(yolo({"a": "2 0.5 0.5 0.1 0.1"}, "train: images\nnames: [cat, '', cat]\n"))
    assert (notes.classes, notes.labels.tolist()) == (("cat", "1"), [0])
    assert [remark.text for remark in notes.remarks] == [
        "several classes have one name (cat): they are read as one class; if they are not, give each its own",
        "data.yaml has classes without a name: they are called by their numbers",
    ]


def test_an_empty_line_of_classes_txt_counts(yolo):
    root = yolo({"a": "2 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.1 0.1"})
    (root / "data.yaml").unlink()
    (root / "classes.txt").write_text("person\n\ndog\n\n")
    notes = read_yolo(root)
    assert (notes.classes, notes.labels.tolist()) == (("person", "dog"), [1])
    assert skipped(notes) == ["labels/a.txt, line 2: expected a class number 0 to 2, got '1'; it is left out"]


@pytest.mark.parametrize("name", ["set.yaml", "data.yml", "obj.data", "classes.txt"])
def test_settings_of_other_names_and_kinds_are_found(yolo, name):
    root = yolo({"a": "1 0.5 0.5 0.1 0.1"})
    (root / "data.yaml").rename(root / name)
    if name == "obj.data":
        (root / name).write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
        (root / "obj.names").write_text("person\ndog\n")
        (root / "train.txt").write_text("data/images/a.png\n")
    if name == "classes.txt":
        (root / name).write_text("person\ndog\n")
    settings = source_settings(root)
    assert settings == {"yolo": str(root / name)}
    notes = read_yolo(root / name)
    assert (notes.classes, notes.labels.tolist()) == (("person", "dog"), [1])
    assert not is_recipe(str(root / name))


@pytest.mark.parametrize(
    ("yaml", "sentence"),
    [
        ("train: images\n", "data.yaml: names: expected a list of classes, got None; for example names: [person, dog]"),
        (
            "names: {a: b}\ntrain: images\n",
            "data.yaml: names: expected a list of classes, got {'a': 'b'}; for example names: [person, dog]",
        ),
        ("names: [a]\nval: images\n", "split: expected a split of data.yaml, got 'train'; there are val"),
        (
            "names: [a\n",
            "data.yaml, line 2: expected YAML with each key once, got: expected ',' or ']', but got '<stream end>'",
        ),
    ],
)
def test_a_data_yaml_that_cannot_be_used_is_refused(yolo, yaml, sentence):
    assert error_of(yolo({"a": None}, yaml)) == sentence


def test_a_missing_folder_or_file_is_named(yolo, tmp_path):
    root = yolo({"a": None}, "train: pictures\nnames: [a]\n")
    assert error_of(root) == (
        f"data.yaml: train: expected a folder of images or a list of them, got nothing at {root / 'pictures'}; correct it"
    )
    assert error_of(tmp_path) == (
        f"yolo: expected a file, got nothing at {tmp_path / 'data.yaml'}; a recipe's relative paths start at its file"
    )
