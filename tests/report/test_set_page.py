"""The page of a real set of digits, small: from its folder alone."""

import json

import cv2
import numpy as np
import pytest

from terse.cli.report import build_report
from terse.errors import DataError
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.recipe import load_recipe
from terse.report.set_page import _commands, build_set_page, set_page

COUNT = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets") / "digits"
    recipe = load_recipe("quickstart", ["data.train=60", "data.val=20", "data.test=20"])
    settings = GenerateSettings(count=COUNT, image="png", objects=(1, 2), blends=("alpha", "none"))
    return folder, generate(recipe, settings, folder, workers=0)


def test_the_page_counts_what_was_made(made):
    folder, result = made
    page = set_page(folder, result)
    assert page.title == f"{COUNT} images with {result['objects']} objects"
    assert [fact.name for fact in page.facts] == ["Images", "Objects", "Classes", "Images a second"]
    assert dict(page.tables[0].rows) == {name: str(number) for name, number in result["per_class"].items()}
    assert [fact.name for fact in set_page(folder).facts] == ["Images", "Objects", "Classes"]


def test_real_images_are_counted_apart(made):
    folder, result = made
    page = set_page(folder, {**result, "real": {"train": 1200, "val": 5}})
    assert page.title == f"{COUNT} composites with {result['objects']} objects"
    assert [fact.name for fact in page.facts] == ["Composites", "Objects", "Classes", "Real images", "Images a second"]
    assert (page.facts[3].value, page.facts[3].note) == ("1,205", "train 1,200, val 5")
    assert page.facts[4].note == "real ones counted"
    assert page.shown.gallery.note == "Every composite of the set."
    assert set_page(folder, result).shown.gallery.note == "Every image of the set."


def test_the_gallery_shows_the_files_of_the_set(made):
    folder, _ = made
    labels = json.loads((folder / "annotations.json").read_text())
    names = {category["id"]: category["name"] for category in labels["categories"]}
    items = list(set_page(folder).shown.gallery.items)
    assert len(items) == COUNT
    for item, image in zip(items, labels["images"], strict=True):
        stored = cv2.imread(str(folder / "images" / image["file_name"]), cv2.IMREAD_COLOR_RGB)
        assert np.array_equal(item.image, stored)
        of_image = [one for one in labels["annotations"] if one["image_id"] == image["id"]]
        assert [(box.label, box.xyxy_px) for box in item.boxes] == [
            (names[one["category_id"]], (x, y, x + w, y + h)) for one in of_image for x, y, w, h in [one["bbox"]]
        ]
        assert [int(mask.sum()) for mask in item.masks] == [one["area"] for one in of_image]


def test_the_page_stands_beside_the_set(made):
    folder, result = made
    before = (folder / "SHA256SUMS").read_bytes()
    assert build_set_page(folder, result) == folder / "report.html"
    assert build_report(folder) == folder / "report.html"
    assert (folder / "SHA256SUMS").read_bytes() == before
    assert "terse generate" in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("kind", "asked"), [("coco", True), ("webdataset", False)])
def test_hashes_are_compared_where_the_images_are_files(kind, asked):
    settings = GenerateSettings(count=COUNT, format=kind)
    lines = [command.line for command in _commands("set", settings, load_recipe("quickstart"))]
    assert ("cd set && sha256sum --check SHA256SUMS" in lines) is asked


def test_a_folder_without_a_set_is_refused(tmp_path):
    with pytest.raises(DataError) as error:
        set_page(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}: expected a whole set with manifest.json, got none; make it with `terse generate`"
    )
