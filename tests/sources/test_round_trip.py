"""What the exporters write, these sources read back: boxes, classes and masks are equal."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from terse.compositing.raster import Drawn
from terse.export.coco import CocoExporter
from terse.export.sample import Labelled, Sample, SetInfo
from terse.export.voc import VocExporter
from terse.export.yolo import YoloExporter
from terse.sources.coco import read_coco
from terse.sources.masks import draw_mask
from terse.sources.voc import read_voc
from terse.sources.yolo import read_yolo

WIDTH, HEIGHT = 48, 36
CLASSES = ("cat", "dog")


def blob(x, y, width, height, label, seed):
    """An object with a ragged outline that touches all four sides of its box."""
    mask = np.zeros((height, width), dtype=np.uint8)
    points = np.random.default_rng(seed).integers(0, (width, height), (6, 2)).astype(np.int32)
    cv2.fillPoly(mask, [points], 255)
    mask[height // 2], mask[:, width // 2] = 255, 255
    return Labelled(
        label, (float(x), float(y), float(x + width), float(y + height)), Drawn(x, y, mask, 0), None, 1.0, 0, True
    )


# Side by side, so that none covers another: VOC's masks hold one number a pixel.
objects = st.lists(
    st.tuples(st.integers(3, 14), st.integers(3, 30), st.integers(0, 5), st.integers(0, 1), st.integers(0, 99)),
    min_size=0,
    max_size=3,
).map(lambda items: [blob(16 * k, y, w, h, label, seed) for k, (w, h, y, label, seed) in enumerate(items)])


def written(exporter, out, images, masks="auto"):
    info = SetInfo(CLASSES, ".png", masks)
    (out / "part").mkdir(parents=True)
    writer = exporter.shard(out, out / "part", info, 0)
    for number, items in enumerate(images):
        pixels = np.full((HEIGHT, WIDTH, 3), number, dtype=np.uint8)
        data = cv2.imencode(".png", pixels)[1].tobytes()
        writer.add(Sample(number, data, (WIDTH, HEIGHT), items, f"set:{number}", "", "alpha"))
    writer.close()
    exporter.assemble(out, [out / "part"], info)
    return out


def read_back(kind, out, images):
    if kind == "coco":
        out = written(CocoExporter(), out, images)
        return read_coco(out / "annotations.json", out / "images")
    if kind == "voc":
        return read_voc(written(VocExporter(), out, images), ["VOCdevkit/VOC2012"], ["train"])
    return read_yolo(written(YoloExporter(), out, images))


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(objects, min_size=1, max_size=3))
def test_export_then_import_is_equal(kind, tmp_path_factory, images):
    notes = read_back(kind, tmp_path_factory.mktemp(kind), images)
    assert notes.skipped == ()
    assert notes.image_index.tolist() == [i for i, items in enumerate(images) for _ in items]
    for row, item in enumerate(item for items in images for item in items):
        assert notes.classes[notes.labels[row]] == CLASSES[item.label]
        assert np.allclose(notes.boxes_px[row], item.box_px, atol=1e-3)
        drawn = draw_mask(notes.masks[row], notes.root, (WIDTH, HEIGHT)) > 0
        expected = np.zeros((HEIGHT, WIDTH), dtype=bool)
        x, y, (high, wide) = item.modal.left, item.modal.top, item.modal.mask.shape
        expected[y : y + high, x : x + wide] = item.modal.mask > 0
        if kind == "yolo":  # outlines pass through fractions of seven digits and one rasteriser
            assert (drawn ^ expected).sum() <= 0.1 * expected.sum() + 4
        else:
            assert np.array_equal(drawn, expected)


def test_crowds_and_ignored_objects_stay_so(tmp_path):
    sound, crowd = blob(0, 0, 10, 10, 0, 1), blob(20, 5, 12, 20, 1, 2)
    marked = Labelled(crowd.label, crowd.box_px, crowd.modal, None, 1.0, 0, False, ignore=True, crowd=True)
    for kind, flags in (("coco", [False, True]), ("voc", [False, True]), ("yolo", [False])):
        notes = read_back(kind, tmp_path / kind, [[sound, marked]])
        assert (notes.ignore | notes.crowd).tolist() == flags
