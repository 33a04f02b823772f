"""Annotations that share an id, and files that are listed twice: no key means two things."""

import json

import numpy as np
import pytest
from PIL import Image

from terse.errors import DataError
from terse.generate import generate, render
from terse.generate.settings import GenerateSettings
from terse.recipe import load_recipe
from terse.sources.annotations import unique
from terse.sources.coco import read_coco


@pytest.fixture
def coco(tmp_path):
    """Four cats and four dogs of one image; all annotations have the id 1."""
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    for folder in ("images", "back"):
        (tmp_path / folder).mkdir()
        Image.fromarray(pixels).save(tmp_path / folder / "a.png")
    annotations = []
    for k in range(8):
        x, y = 38 * (k % 4) + 2, 58 * (k // 4) + 2
        box = [x, y, 36, 56]
        outline = [x, y, x + 36, y, x + 36, y + 56, x, y + 56]
        annotations.append({"id": 1, "image_id": 1, "category_id": 1 + k // 4, "bbox": box, "segmentation": [outline]})
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
        "annotations": annotations,
    }
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    return path


def test_a_set_is_drawn_again_as_it_was(coco, tmp_path):
    """Before, 11 of 20 images changed, and the cats and dogs of the table became cats."""
    recipe = load_recipe("paste", [f"foregrounds.coco={coco}", f"foregrounds.images={tmp_path / 'images'}", f"backgrounds.images={tmp_path / 'back'}"])  # fmt: skip
    made = generate(recipe, GenerateSettings(count=12, image="png"), tmp_path / "set", workers=0)
    again = render(tmp_path / "set" / "placements.parquet", tmp_path / "again", workers=0)
    assert made["per_class"] == again["per_class"]
    assert set(made["per_class"]) == {"cat", "dog"}
    sums = [(tmp_path / name / "SHA256SUMS").read_text() for name in ("set", "again")]
    assert sums[0] == sums[1]


def test_repeated_ids_are_told(coco):
    annotations = read_coco(coco)
    assert annotations.object_names == ("1", "1#2", "1#3", "1#4", "1#5", "1#6", "1#7", "1#8")
    assert [str(remark.text) for remark in annotations.remarks] == [
        "7 annotations have the id of another of their image; they are told apart by their order"
    ]


def test_a_row_whose_class_is_another_now_is_refused(coco, tmp_path):
    recipe = load_recipe("paste", [f"foregrounds.coco={coco}", f"foregrounds.images={tmp_path / 'images'}", f"backgrounds.images={tmp_path / 'back'}"])  # fmt: skip
    generate(recipe, GenerateSettings(count=4), tmp_path / "set", workers=0)
    content = json.loads(coco.read_text())
    for item in content["annotations"]:
        item["category_id"] = 3 - item["category_id"]
    coco.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"expected a:a.png:1.* to be of the class (cat|dog), got (dog|cat); restore"):
        render(tmp_path / "set" / "placements.parquet", tmp_path / "again", workers=0)


def test_a_file_listed_twice_has_two_keys(coco, tmp_path):
    content = json.loads(coco.read_text())
    content["images"].append({**content["images"][0], "id": 2})
    coco.write_text(json.dumps(content))
    content["annotations"].append({**content["annotations"][0], "image_id": 2})
    coco.write_text(json.dumps(content))
    annotations = read_coco(coco)
    assert annotations.image_keys == ("a:a.png", "a:a.png#2")
    assert len(set(annotations.object_keys)) == len(annotations.object_keys) == 9


def test_names_are_told_apart():
    assert unique(["a", "b", "a", "a#2", "a"]) == ("a", "b", "a#3", "a#2", "a#4")
