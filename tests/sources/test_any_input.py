"""Whatever a file holds, it is read or refused with a sentence: no other error ever leaves a reader."""

import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from terse.errors import DataError
from terse.sources.coco import read_coco
from terse.sources.decode import probe, read_rgb
from terse.sources.voc import read_voc
from terse.sources.yolo import read_yolo

relaxed = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def outcome(function, *args):
    """What comes of it: a value, or the sentence of a refusal."""
    try:
        return function(*args), None
    except DataError as error:
        return None, str(error)


def encoded(kind):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


WHOLE = {kind: encoded(kind) for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")}


@pytest.mark.filterwarnings("ignore::UserWarning")
@relaxed
@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_any_bytes(tmp_path, kind, data):
    content = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    file = tmp_path / "photo"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    size, sentence = outcome(probe, file, "photo")
    if size is not None:
        pixels, sentence = outcome(read_rgb, file, "photo", size)
        assert pixels is None or pixels.shape == (size[1], size[0], 3)
    assert sentence is None or sentence.startswith("photo: expected ")


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 99) | st.floats() | st.sampled_from(["", "a.png", "person", "9", "\0"]),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.sampled_from(["id", "size", "counts"]), inner),
    max_leaves=8,
)


def mostly(good):
    return good | good | good | anything


IMAGE = st.fixed_dictionaries({"id": mostly(st.just(7)), "file_name": mostly(st.just("a.png"))}, optional={
    "width": mostly(st.just(40)), "height": mostly(st.just(30)), "license": anything,
})  # fmt: skip
NOTE = st.fixed_dictionaries({"image_id": mostly(st.just(7)), "category_id": mostly(st.just(1))}, optional={
    "id": anything, "bbox": mostly(st.just([1, 2, 3, 4])), "segmentation": anything, "iscrowd": anything, "ignore": anything,
})  # fmt: skip
FILE = st.fixed_dictionaries({
    "images": mostly(st.lists(mostly(IMAGE), max_size=2)),
    "annotations": mostly(st.lists(mostly(NOTE), max_size=4)),
    "categories": mostly(st.just([{"id": 1, "name": "person"}])),
}, optional={"licenses": anything})  # fmt: skip


@relaxed
@given(FILE)
def test_any_coco_json(coco, data):
    file, images = coco()
    file.write_text(json.dumps(data))
    notes, sentence = outcome(read_coco, file, images)
    assert sentence is None or ("set.json" in sentence and ": expected " in sentence)
    assert notes is None or np.isfinite(notes.boxes_px).all()
    assert notes is None or all(": expected " in str(item) for item in notes.skipped)


@relaxed
@given(st.text(st.sampled_from("0123456789.- \n\tnaife#\u00b2"), max_size=80))
def test_any_yolo_labels(tmp_path, save, text):
    root = tmp_path / "set"
    save(root / "images/a.png")
    (root / "labels").mkdir(exist_ok=True)
    (root / "labels/a.txt").write_text(text)
    (root / "data.yaml").write_text("train: images\nnames: [person, dog]\n")
    notes = read_yolo(root)
    assert len(notes.labels) + len(notes.skipped) == sum(bool(line.split()) for line in text.splitlines())


@relaxed
@given(st.recursive(st.sampled_from(["", "a.png", "1", "-3", "1e999", "nan", "x"]), lambda inner: st.tuples(
    st.sampled_from(["object", "name", "bndbox", "xmin", "ymin", "xmax", "ymax", "size", "width", "height", "filename", "difficult"]),
    st.lists(inner, max_size=5),
), max_leaves=20))  # fmt: skip
def test_any_voc_xml(tmp_path, save, tree):
    def text(node):
        return node if isinstance(node, str) else f"<{node[0]}>{''.join(map(text, node[1]))}</{node[0]}>"

    save(tmp_path / "JPEGImages/a.png")
    (tmp_path / "Annotations").mkdir(exist_ok=True)
    (tmp_path / "Annotations/a.xml").write_text(f"<annotation><filename>a.png</filename>{text(tree)}</annotation>")
    notes, sentence = outcome(read_voc, tmp_path)
    assert sentence is None or ": expected " in sentence
    assert notes is None or np.isfinite(notes.boxes_px).all()
