"""A file that may not be read is left out and named, as any other that cannot be used; the rest is read."""

import builtins
import errno
import io
import json
import os

import pytest

from terse.errors import DataError
from terse.sources.coco import read_coco
from terse.sources.folder import read_folder
from terse.sources.labelme import read_labelme
from terse.sources.quick_decode import read_bgr
from terse.sources.voc import read_voc
from terse.sources.yolo import read_yolo

XML = (
    "<annotation><object><name>cup</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    "</annotation>"
)
PAGE = {"shapes": [{"label": "cup", "points": [[1, 1], [9, 1], [9, 9]], "shape_type": "polygon"}]}


@pytest.fixture
def close(monkeypatch):
    """Have the system refuse a file, whoever runs the tests."""
    opened, closed = builtins.open, set()

    def refusing(file, *rest, **options):
        if not isinstance(file, int) and os.fspath(file) in closed:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(file))
        return opened(file, *rest, **options)

    monkeypatch.setattr(builtins, "open", refusing)
    monkeypatch.setattr(io, "open", refusing)
    return lambda path: closed.add(str(path))


def skipped(notes):
    return [str(item) for item in notes.skipped]


def test_an_image(tmp_path, save, close):
    for name in ("a.png", "b.png"):
        save(tmp_path / name)
    close(tmp_path / "b.png")
    sentence = "b.png: expected an image file, got: Permission denied; have it read, or leave it out"
    notes = read_folder(tmp_path)
    assert (notes.paths, skipped(notes)) == (("a.png",), [sentence])
    with pytest.raises(DataError) as raised:
        read_bgr(tmp_path / "b.png", "b.png", (40, 30))
    assert str(raised.value) == sentence


def test_a_label_file_of_yolo(tmp_path, save, close):
    (tmp_path / "labels").mkdir()
    for name in ("a", "b"):
        save(tmp_path / f"images/{name}.png")
        (tmp_path / f"labels/{name}.txt").write_text("0 0.5 0.5 0.2 0.2")
    (tmp_path / "data.yaml").write_text("train: images\nnames: [cup]\n")
    close(tmp_path / "labels/b.txt")
    notes = read_yolo(tmp_path)
    assert (len(notes), len(notes.labels)) == (2, 1)
    assert skipped(notes) == ["labels/b.txt: expected labels, got: Permission denied; its objects are left out"]


def test_a_page_of_voc_and_of_labelme(tmp_path, save, close):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.xml").write_text(XML)
        (tmp_path / f"{name}.json").write_text(json.dumps({**PAGE, "imagePath": f"{name}.png"}))
    close(tmp_path / "b.xml")
    close(tmp_path / "b.json")
    voc, labelme = read_voc(tmp_path), read_labelme(tmp_path)
    assert (len(voc.labels), len(labelme.labels)) == (1, 1)
    assert skipped(voc) == ["b.xml: expected whole XML, got: Permission denied; its image is left out"]
    assert skipped(labelme) == ["b.json: expected labelme JSON, got: Permission denied; have it read, or leave it out"]


def test_the_file_of_a_whole_set_is_named(tmp_path, save, close):
    save(tmp_path / "a.png")
    (tmp_path / "set.json").write_text("{}")
    close(tmp_path / "set.json")
    with pytest.raises(DataError) as raised:
        read_coco(tmp_path / "set.json", tmp_path)
    assert str(raised.value) == "set.json: expected COCO JSON, got: Permission denied; have it read, or leave it out"
