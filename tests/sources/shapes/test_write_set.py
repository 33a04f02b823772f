"""The drawn set on disk: boxes alone, as a user brings them."""

import json

import cv2
import pytest

from terse.sources.coco import read_coco
from terse.sources.shapes.__main__ import main, write_set
from terse.sources.shapes.scenes import CLASSES

FEW = {"train": 6, "val": 3, "test": 4, "backgrounds": 2}


@pytest.fixture
def written(tmp_path):
    write_set(tmp_path, **FEW)
    return tmp_path


def test_files_and_folders_are_those_of_the_docstring(written):
    counts = {"train": "photographs", "val": "field", "test": "field"}
    for name, folder in counts.items():
        page = json.loads((written / f"{name}.json").read_text())
        assert len(page["images"]) == FEW[name]
        assert [one["name"] for one in page["categories"]] == list(CLASSES)
        assert all((written / folder / image["file_name"]).is_file() for image in page["images"])
    assert len(list((written / "field").iterdir())) == FEW["val"] + FEW["test"]
    assert len(list((written / "backgrounds").iterdir())) == FEW["backgrounds"]


def test_there_are_boxes_and_no_masks(written):
    found = read_coco(written / "train.json", written / "photographs")
    assert len(found) == FEW["train"]
    assert not found.masked.any()
    assert (found.boxes_px[:, 2:] - found.boxes_px[:, :2] >= 32).all()  # cleanup would leave smaller ones out


def test_a_box_holds_its_object(written):
    """The object differs from what lies around it: the mean colour inside is not that of the rim outside."""
    page = json.loads((written / "train.json").read_text())
    one = page["annotations"][0]
    image = cv2.imread(str(written / "photographs" / page["images"][one["image_id"]]["file_name"]))
    assert image.shape == (128, 128, 3)
    x, y, w, h = map(int, one["bbox"])
    inside = image[y + h // 2 - 4 : y + h // 2 + 4, x + w // 2 - 4 : x + w // 2 + 4].mean(axis=(0, 1))
    corner = image[y : y + 3, x : x + 3].mean(axis=(0, 1))
    assert abs(inside - corner).max() > 5


def test_the_same_files_are_written_again(written):
    first = (written / "test.json").read_bytes()
    write_set(written, **FEW)
    assert (written / "test.json").read_bytes() == first


def test_the_command_takes_the_folder(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr("terse.sources.shapes.__main__.write_set", asked.append)
    main([str(tmp_path)])
    assert asked == [tmp_path]
