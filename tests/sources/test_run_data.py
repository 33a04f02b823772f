"""From a recipe to data: what a run holds out, no data set made from it holds; a cut-out has one shape everywhere."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from drawn_photographs import Drawn
from terse.errors import DataError, RecipeError
from terse.generate import GenerateSettings, generate, of_recipe
from terse.recipe import Recipe, load_recipe
from terse.sources.run_data import paste_data, run_data


def _recipe(folder: Path, **parts: str) -> Recipe:
    """One set of ten images of a ball each that is everything: to cut out, to paste on, to train and to judge."""
    file = Drawn(folder).coco(count=10)
    source = f"{{coco: {file}, images: {folder / 'train-images'}}}"
    whole = {"foregrounds": source, "backgrounds": source, "train": source, "val": "0.2", "test": "0.2", **parts}
    return load_recipe(
        "detector", [*(f"{key}={value}" for key, value in whole.items()), "canvas_px=96", "cleanup=false"]
    )


def _pasted(folder: Path) -> tuple[set[str], set[str]]:
    rows = pq.read_table(folder / "placements.parquet").to_pylist()
    return {row["foreground"] for row in rows}, {row["background"] for row in rows}


def test_a_set_of_a_recipe_holds_the_runs_foregrounds_and_backgrounds_alone(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path)
    data = run_data(recipe)
    assert (len(data.foregrounds), len(data.backgrounds)) == (6, 6)
    generate(recipe, GenerateSettings(count=60, max_overlap=1.0, side_px=48), tmp_path / "set", workers=0)
    assert _pasted(tmp_path / "set") == (set(data.foregrounds.keys), set(data.backgrounds.keys))


def test_sources_that_judge_are_held_out_of_a_set_even_without_one_to_train_on(tmp_path: Path) -> None:
    held = Drawn(tmp_path).coco("held", count=3, seed=40)
    both = f"{{coco: {held}, images: {tmp_path / 'held-images'}}}"
    recipe = _recipe(tmp_path, test=both).model_copy(update={"train": None})
    assert len(paste_data(recipe).foregrounds) == 10
    leaking = _recipe(tmp_path, test=both, foregrounds=both, backgrounds=both)
    with pytest.raises(DataError, match="expected masks on images that val and test do not hold, got 3"):
        paste_data(leaking.model_copy(update={"train": None}))


def test_a_train_that_judges_alone_is_refused_with_the_reason(tmp_path: Path) -> None:
    held = Drawn(tmp_path).coco("held", count=3, seed=40)
    both = f"{{coco: {held}, images: {tmp_path / 'held-images'}}}"
    with pytest.raises(DataError) as error:
        run_data(_recipe(tmp_path, train=both, val=0.5, test=0.99))
    assert str(error.value) == (
        "train: expected images that val and test do not hold, got none; "
        "take these from other images, or as smaller fractions of train"
    )


def test_backgrounds_that_all_judge_are_refused_with_the_reason(tmp_path: Path) -> None:
    held = Drawn(tmp_path).coco("held", count=3, seed=40)
    recipe = _recipe(
        tmp_path,
        val=f"{{coco: {held}, images: {tmp_path / 'held-images'}}}",
        backgrounds=f"{{images: {tmp_path / 'held-images'}}}",
    )
    for read in (run_data, paste_data):
        with pytest.raises(DataError) as error:
            read(recipe)
        assert str(error.value) == (
            "backgrounds: expected images that val and test do not hold, got 3 that are all theirs; "
            "take val and test from other images, or as a fraction of train"
        )
    assert len(paste_data(recipe, everything=True).backgrounds) == 3


def test_a_cut_out_has_the_shape_in_a_set_that_it_has_in_its_run(tmp_path: Path) -> None:
    """A cut-out without a scene is not squashed as its file's shape would have it: 2 to 1 stays 2 to 1."""
    (tmp_path / "cuts" / "ball").mkdir(parents=True)
    for name in "ab":
        cv2.imwrite(str(tmp_path / "cuts" / "ball" / f"{name}.png"), np.full((40, 80, 4), 255, np.uint8))
    (tmp_path / "back").mkdir()
    cv2.imwrite(str(tmp_path / "back" / "black.png"), np.zeros((96, 96, 3), np.uint8))
    recipe = _recipe(
        tmp_path,
        foregrounds=f"{{cutouts: {tmp_path / 'cuts'}}}",
        backgrounds=f"{{images: {tmp_path / 'back'}}}",
        poses="{rotation_deg: [0, 0], shear: [0, 0], stretch: [1, 1], shift: [0, 0], scale: [0.5, 0.9]}",
    )
    data = run_data(recipe)
    alpha = data.foregrounds.fetch(np.array([0])).alpha[0, 0]
    assert (int(alpha.any(dim=0).sum()), int(alpha.any(dim=1).sum())) == (96, 48)
    for name, origin in (("run", of_recipe(recipe, data, square=True)), ("recipe", recipe)):
        generate(origin, GenerateSettings(count=4, image="png"), tmp_path / name, workers=0)
        boxes = [one["bbox"] for one in json.loads((tmp_path / name / "annotations.json").read_text())["annotations"]]
        assert boxes
        assert all(width == pytest.approx(2 * height, abs=2) for _, _, width, height in boxes)


def test_what_cleanup_takes_is_counted_by_cause(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        for item in data["annotations"][:2]:
            item.update(bbox=[5, 5, 12, 12], segmentation=[[5, 5, 17, 5, 17, 17, 5, 17]])
        data["annotations"][2]["bbox"] = [1, 1, 20, 20]

    file = Drawn(tmp_path).coco("mixed", count=6, change=change)
    source = f"{{coco: {file}, images: {tmp_path / 'mixed-images'}}}"
    recipe = _recipe(tmp_path, foregrounds=source).model_copy(update={"cleanup": True})
    data = run_data(recipe)
    assert len(data.foregrounds) == 3
    assert data.messages == ("cleanup: left out 3 foregrounds: 1 whose mask and box disagree, 2 too small",)


def test_a_class_that_is_lost_is_said_of_a_set(tmp_path: Path) -> None:
    """A set goes on without it, and says so."""

    def change(data: dict[str, Any]) -> None:
        data["categories"].append({"id": 2, "name": "dot"})
        for item in data["annotations"][:2]:
            item.update(category_id=2, bbox=[5, 5, 12, 12], segmentation=[[5, 5, 17, 5, 17, 17, 5, 17]])

    file = Drawn(tmp_path).coco("mixed", count=6, change=change)
    source = f"{{coco: {file}, images: {tmp_path / 'mixed-images'}}}"
    recipe = _recipe(tmp_path, foregrounds=source).model_copy(update={"cleanup": True})
    assert paste_data(recipe).messages[-1] == "foregrounds: nothing of dot is left to paste (2 too small)"


def test_val_and_test_count_the_judged_classes_alone(tmp_path: Path) -> None:
    recipe = _recipe(tmp_path, classes="[dog, ball]", judged="[ball]")
    data = run_data(recipe)
    assert data.classes == ("dog", "ball")
    every = [images.fetch(np.arange(len(images)))[1].labels for images in (data.val, data.test)]
    assert [set(labels.tolist()) for labels in every] == [{1}, {1}]
    with pytest.raises(RecipeError) as error:
        run_data(_recipe(tmp_path, judged="[cat]"))
    assert str(error.value) == "judged: expected some of the task's classes, got 'cat'; they are ball"
