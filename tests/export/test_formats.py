"""What is special to each format: names that YAML 1.1 would change, folders that stand alone, index masks."""

import errno
import gc
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from commands import run
from file_faults import FileFaults
from terse.compositing.raster import Drawn
from terse.errors import DataError
from terse.export.sample import Labelled, Sample, SetInfo
from terse.registry import kinds, lookup
from terse.sources.annotations import Skeleton
from terse.sources.voc import read_voc

ODD = ("no", "yes", "On", "null", "~", "12", "1_0", "1e3", "0x1f", "12:30", "2001-01-01", "a: b", 'say "x"', "süß", "-")


def labelled(label, left, top, width, height, **others):
    region = Drawn(left, top, np.full((height, width), 255, np.uint8), width * height)
    box = (left, top, left + width, top + height)
    return Labelled(label, box, region, region, 1.0, 0, pasted=True, **others)


def sample(number, *objects, size_px=(40, 30)):
    pixels = np.full((size_px[1], size_px[0], 3), 90 + number, np.uint8)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    return Sample(number, data, size_px, objects, "back:a.png", "", "alpha")


def written(kind, out, info, samples):
    """A set of one shard."""
    exporter = lookup("exporter", kind)().build()
    part = out.parent / f"{out.name}-part"
    part.mkdir()
    out.mkdir()
    writer = exporter.shard(out, part, info, 0)
    try:
        for item in samples:
            writer.add(item)
    except BaseException:
        writer.close(whole=False)
        raise
    writer.close()
    exporter.assemble(out, [part], info)
    return out


def open_files():
    return sum(1 for _ in Path("/dev/fd").iterdir())


@pytest.mark.parametrize("kind", sorted(kinds("exporter")))
def test_no_file_of_a_shard_stays_open_where_the_disk_is_full(kind, tmp_path):
    def full():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail_at(place):
        """Whether anything failed there, and what did."""
        root = tmp_path / str(place)
        root.mkdir()
        with FileFaults(root, place, full).watching():
            try:
                info = SetInfo(("ball", "dog"), ".png", skeleton=Skeleton(1))
                written(kind, root / "set", info, [sample(0, labelled(0, 2, 3, 10, 8)), sample(1)])
            except OSError as error:
                return error
        return None

    fail_at(None)  # imports what it needs
    gc.collect()  # files that earlier tests left open are closed now, and not at some moment below
    before, errors = open_files(), []  # an error holds what it was raised in, so that nothing is closed by chance
    while not errors or errors[-1] is not None:
        errors.append(fail_at(1 + len(errors)))
        assert open_files() == before, len(errors)
        assert not list(tmp_path.rglob("*.tmp")), len(errors)
    assert len(errors) > 4
    assert all(error.errno == errno.ENOSPC for error in errors[:-1])


def read_yaml_11(file):
    """As PyYAML reads it, which trainers use."""
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 1)
    return reader.load(file.read_text("utf-8"))


def test_a_licence_of_two_lines_is_one_in_coco(tmp_path):
    info, licences = SetInfo(("ball",), ".png"), ("CC BY\nby me", "CC0", "")
    samples = [replace(sample(k), licence=licence) for k, licence in enumerate(licences)]
    found = json.loads((written("coco", tmp_path / "set", info, samples) / "annotations.json").read_text("utf-8"))
    assert [(one["id"], one["name"]) for one in found["licenses"]] == [(1, "CC BY by me"), (2, "CC0")]
    assert [image.get("license") for image in found["images"]] == [1, 2, None]


def test_yolo_names_are_words_to_a_reader_of_yaml_1_1(tmp_path):
    out = written("yolo", tmp_path / "set", SetInfo(ODD, ".png"), [sample(0, labelled(0, 2, 3, 10, 8))])
    assert list(read_yaml_11(out / "data.yaml")["names"].values()) == list(ODD)


def test_a_voc_set_holds_its_images_and_init_reads_it(tmp_path, capsys, monkeypatch):
    objects = [[labelled(k % 2, 8 + k, 10, 90, 70)] for k in range(6)]
    out = written(
        "voc",
        tmp_path / "set",
        SetInfo(("ball", "dog"), ".png"),
        [sample(k, *o, size_px=(160, 120)) for k, o in enumerate(objects)],
    )
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    alone = tmp_path / "alone"
    (out / "VOCdevkit" / "VOC2012").rename(alone)  # the folder that a trainer is given
    backgrounds = tmp_path / "backgrounds"
    backgrounds.mkdir()
    Image.new("RGB", (50, 40), (3, 90, 200)).save(backgrounds / "a.png")
    monkeypatch.chdir(tmp_path)
    code, text, err = run(capsys, "init", "--voc", "alone", "--backgrounds", "backgrounds")
    assert (code, err) == (0, "")
    assert "6 images, 6 objects of 2 classes, 6 masks" in text


def test_semantic_masks_are_class_numbers(tmp_path):
    unknown = Labelled(0, (30, 20, 36, 26), None, None, 1.0, -1, pasted=False)
    objects = labelled(1, 2, 3, 10, 8), labelled(0, 20, 3, 5, 5), labelled(0, 30, 3, 5, 5, ignore=True), unknown
    out = written("semantic", tmp_path / "set", SetInfo(("ball", "dog"), ".png"), [sample(7, *objects), sample(8)])
    assert (out / "classes.txt").read_text().split() == ["background", "ball", "dog"]
    values = np.array(Image.open(out / "masks" / "00000007.png"))
    expected = np.zeros((30, 40), np.uint8)
    expected[3:11, 2:12], expected[3:8, 20:25] = 2, 1
    expected[3:8, 30:35] = expected[20:26, 30:36] = 255
    assert (values == expected).all()
    assert np.array_equal(cv2.imread(str(out / "masks" / "00000007.png"), cv2.IMREAD_UNCHANGED), expected)
    assert not np.array(Image.open(out / "masks" / "00000008.png")).any()
    assert sorted(path.name for path in (out / "images").iterdir()) == ["00000007.png", "00000008.png"]


def test_semantic_masks_hold_no_more_classes_than_a_byte(tmp_path):
    info = SetInfo(tuple(f"c{i}" for i in range(255)), ".png")
    with pytest.raises(DataError) as error:
        written("semantic", tmp_path / "set", info, [])
    assert str(error.value) == (
        "format: expected at most 254 classes for semantic masks of 8 bits, got 255; name fewer by classes, or choose coco"
    )


def test_voc_masks_hold_no_more_classes_than_a_byte(tmp_path):
    info = SetInfo(tuple(f"c{i}" for i in range(255)), ".png")
    with pytest.raises(DataError) as error:
        written("voc", tmp_path / "set", info, [])
    assert str(error.value) == (
        "format: expected at most 254 classes for VOC's masks of 8 bits, got 255; "
        "name fewer by classes, set `masks` to box, or choose coco"
    )
    assert not any((tmp_path / "set").iterdir())
    last = labelled(254, 2, 3, 10, 8)
    out = written("voc", tmp_path / "boxes", replace(info, masks="box"), [sample(0, last)])
    assert "<name>c254</name>" in (out / "VOCdevkit/VOC2012/Annotations/00000000.xml").read_text("utf-8")
    out = written(
        "voc", tmp_path / "most", replace(info, classes=info.classes[:254]), [sample(0, replace(last, label=253))]
    )
    assert np.array(Image.open(out / "VOCdevkit/VOC2012/SegmentationClass/00000000.png")).max() == 254


def test_voc_objects_past_the_last_number_are_void_and_keep_class_and_box(tmp_path):
    objects = [labelled(k % 2, k % 20, k // 20, 1, 1) for k in range(256)]
    out = written("voc", tmp_path / "set", SetInfo(("ball", "dog"), ".png"), [sample(0, *objects)])
    root = out / "VOCdevkit" / "VOC2012"
    by_object = np.array(Image.open(root / "SegmentationObject" / "00000000.png"))
    assert by_object[:13, :20].ravel()[:256].tolist() == [*range(1, 255), 255, 255]
    by_class = np.array(Image.open(root / "SegmentationClass" / "00000000.png"))
    assert by_class[:13, :20].ravel()[:256].tolist() == [1, 2] * 128
    found = read_voc(out, ["VOCdevkit/VOC2012"])
    assert len(found.labels) == 256
    assert found.skipped == ()
    assert found.masked.tolist() == [True] * 254 + [False] * 2


def test_a_box_thinner_than_a_pixel_is_one_pixel_in_voc(tmp_path):
    boxes = (50.25, 25, 50.75, 75), (99.5, 0, 100, 0.5), (0.0, 99.25, 0.5, 99.75), (10.25, 10, 12, 11)
    objects = [Labelled(0, box, None, None, 1.0, -1, pasted=False) for box in boxes]
    info = SetInfo(("ball",), ".png", "box")
    out = written("voc", tmp_path / "set", info, [sample(0, *objects, size_px=(100, 100))])
    text = (out / "VOCdevkit/VOC2012/Annotations/00000000.xml").read_text("utf-8")
    found = [tuple(map(float, re.findall(rf"<{key}>(.*?)</{key}>", text))) for key in ("xmin", "ymin", "xmax", "ymax")]
    assert list(zip(*found, strict=True)) == [
        (50.75, 26, 50.75, 75),
        (100, 1, 100, 1),
        (1, 99.75, 1, 99.75),
        (11.25, 11, 12, 11),
    ]


@pytest.mark.parametrize(
    ("modal", "amodal", "fraction", "marks"),
    [
        ((0, 0, 10, 8), (0, 0, 10, 8), 0.5, (1, 0)),  # half beyond the border, and nothing lies over it
        ((5, 5, 10, 8), (5, 5, 10, 10), 0.8, (0, 1)),
        ((0, 5, 10, 8), (0, 5, 10, 10), 0.4, (1, 1)),
        ((5, 5, 20, 48), (5, 5, 20, 49), 0.98, (0, 0)),  # VOC counts more than a twentieth
    ],
)
def test_occluded_in_voc_is_what_something_covers_and_truncated_what_the_border_cuts(
    modal, amodal, fraction, marks, tmp_path
):
    seen, whole = (labelled(0, *of).modal for of in (modal, amodal))
    item = replace(labelled(0, *modal), modal=seen, amodal=whole, visible_fraction=fraction)
    covered_box = Labelled(
        0, (5, 5, 15, 13), None, None, 0.8, -1, pasted=False
    )  # of a box alone the share is all there is
    objects = [item, covered_box]
    out = written("voc", tmp_path / "set", SetInfo(("ball",), ".png"), [sample(0, *objects, size_px=(60, 60))])
    text = (out / "VOCdevkit/VOC2012/Annotations/00000000.xml").read_text("utf-8")
    found = [tuple(map(int, re.findall(rf"<{key}>(.)</{key}>", text))) for key in ("truncated", "occluded")]
    assert list(zip(*found, strict=True)) == [marks, (0, 1)]
