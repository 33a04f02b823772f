"""Sources in recipes: which kind is meant, and what a base's settings become under another."""

import pytest

from terse.config import kind_of
from terse.errors import DataError
from terse.recipe import Recipe, load_recipe
from terse.sources.run_data import run_data
from terse.validation import join

COCO = {"coco": "a.json", "images": "a", "classes": ["person"]}


def over(above, base=None):
    return join(Recipe, {"train": base or COCO}, {"train": above})["train"]


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "cutouts", "images"])
def test_the_tag_key_names_the_kind_whatever_comes_first(kind):
    extra = {"images": "d"} if kind == "coco" else {"min_area_px": 3}
    assert kind_of("source", {kind: "x", **extra}) == kind
    assert kind_of("source", {**extra, kind: "x"}) == kind


def test_a_setting_of_the_same_kind_is_laid_over():
    assert over({"images": "b"}) == {**COCO, "images": "b"}
    assert over({"images": "b", "coco": "b.json"}) == {"coco": "b.json", "images": "b", "classes": ["person"]}
    assert over({"min_area_px": 9}) == {**COCO, "min_area_px": 9}


def test_another_kind_keeps_only_what_it_knows():
    assert over({"voc": "VOC2012"}) == {"classes": ["person"], "kind": "voc", "voc": "VOC2012"}
    assert over({"kind": "images", "images": "b"}) == {"images": "b", "classes": ["person"], "kind": "images"}


def test_a_fraction_gives_way_to_a_source_and_back():
    assert join(Recipe, {"val": 0.2}, {"val": COCO})["val"] == COCO
    assert join(Recipe, {"val": COCO}, {"val": 0.2})["val"] == 0.2


def test_masks_that_all_stand_on_images_of_val_are_refused_with_the_reason(coco):
    file, images = coco()
    source = f"{{coco: {file}, images: {images}}}"
    parts = [f"{part}={source}" for part in ("foregrounds", "train", "val")]
    recipe = load_recipe("detector", [*parts, f"backgrounds={{images: {images}}}", "canvas_px=96"])
    with pytest.raises(DataError) as raised:
        run_data(recipe)
    assert str(raised.value) == (
        "foregrounds: expected masks on images that val and test do not hold, got 1 that all stand on images of theirs; "
        "take val and test from other images, or as a fraction of train"
    )
