"""`Composites` as a training loop uses it."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.transforms import v2

from terse.data import CompositeDataset
from terse.errors import DataError, RecipeError
from terse.generate import GenerateSettings, generate
from terse.recipe import load_recipe


@pytest.fixture(scope="module")
def overrides(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("world")
    random = np.random.default_rng(0)
    for name in ("disc", "square"):
        (root / "cuts" / name).mkdir(parents=True)
        alpha = np.zeros((40, 40), np.uint8)
        if name == "disc":
            cv2.circle(alpha, (20, 20), 18, 255, -1)
        else:
            alpha[4:36, 4:36] = 255
        cv2.imwrite(str(root / "cuts" / name / "a.png"), np.dstack([random.integers(0, 256, (40, 40, 3)), alpha]))
    (root / "back").mkdir()
    for k in range(3):
        cv2.imwrite(str(root / "back" / f"{k}.png"), random.integers(0, 256, (60, 80, 3)).astype(np.uint8))
    return [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}"]


def test_items_are_in_torchvisions_conventions(overrides: list[str]) -> None:
    data = CompositeDataset("paste", overrides, length=12, objects=(1, 3))
    assert len(data) == 12
    assert data.classes == ("disc", "square")
    image, target = data[0]
    assert isinstance(image, tv_tensors.Image)
    assert (image.dtype, tuple(image.shape)) == (torch.uint8, (3, 60, 80))
    assert isinstance(target["boxes"], tv_tensors.BoundingBoxes)
    assert target["boxes"].canvas_size == (60, 80)
    assert isinstance(target["masks"], tv_tensors.Mask)
    assert set(torch.cat([data[k][1]["labels"] for k in range(12)]).tolist()) == {1, 2}
    for k in range(12):
        _, target = data[k]
        rows = len(target["labels"])
        assert [len(target[key]) for key in ("boxes", "masks", "area", "iscrowd")] == [rows] * 4
        for box, mask, area in zip(target["boxes"], target["masks"], target["area"], strict=True):
            ys, xs = torch.nonzero(mask).T
            assert box.tolist() == [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
            assert area == mask.sum()


@pytest.mark.parametrize("settings", [{}, {"blends": ("alpha", "box", "none"), "all_blends": True}])
def test_an_epoch_is_what_generate_writes(overrides: list[str], tmp_path: Path, settings: dict[str, Any]) -> None:
    generate(load_recipe("paste", overrides), GenerateSettings(count=5, image="png", **settings), tmp_path, workers=0)
    data = CompositeDataset("paste", overrides, length=5, **settings)
    assert len(data) == 5
    boxes = json.loads((tmp_path / "annotations.json").read_text("utf-8"))["annotations"]
    for k in range(5):
        image, target = data[k]
        written = cv2.imread(str(tmp_path / "images" / f"{k:08d}.png"))[..., ::-1]
        assert (image.permute(1, 2, 0).numpy() == written).all()
        x, y, width, height = boxes[k]["bbox"]
        assert target["boxes"].tolist() == [[x, y, x + width, y + height]]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_loader_workers_change_nothing_and_epochs_do(overrides: list[str]) -> None:
    data = CompositeDataset("paste", overrides, length=6, transforms=v2.RandomHorizontalFlip(p=1.0))
    alone = [data[k] for k in range(6)]
    loaded = list(DataLoader(data, batch_size=None, num_workers=2))
    for (image, target), (other, known) in zip(loaded, alone, strict=True):
        assert torch.equal(image, other)
        assert torch.equal(target["boxes"], known["boxes"])
    data.set_epoch(1)
    assert any(not torch.equal(data[k][0], alone[k][0]) for k in range(6))
    data.set_epoch(0)
    assert torch.equal(data[3][0], alone[3][0])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_that_outlive_an_epoch_follow_it(overrides: list[str]) -> None:
    data = CompositeDataset("paste", overrides, length=3)
    loader = DataLoader(data, batch_size=None, num_workers=1, persistent_workers=True)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        for (image, _), (other, _) in zip(loader, [data[k] for k in range(3)], strict=True):
            assert torch.equal(image, other)


def test_an_index_may_be_a_tensor(overrides: list[str]) -> None:
    data = CompositeDataset("paste", overrides, length=3)
    assert torch.equal(data[torch.tensor(2)][0], data[2][0])


def test_settings_that_are_refused_are_named(overrides: list[str]) -> None:
    with pytest.raises(RecipeError) as told:
        CompositeDataset(load_recipe("paste", overrides), ["poses.scale=[1, 1]"], length=3)
    assert str(told.value) == "overrides: expected none beside a Recipe object, got some; use recipe.model_copy"
    with pytest.raises(RecipeError) as told:
        CompositeDataset("paste", overrides, length=0)
    assert str(told.value) == "length: expected an integer >= 1, got 0"
    with pytest.raises(RecipeError) as told:
        CompositeDataset("paste", overrides, length=3, count=2)
    assert str(told.value) == "count: expected the number of items as length, got count=2"
    with pytest.raises(RecipeError) as told:
        CompositeDataset("paste", overrides, length=3, max_overlap=2)
    assert str(told.value) == "max_overlap: expected a number <= 1, got 2"
    with pytest.raises(RecipeError) as told:
        CompositeDataset("paste", overrides, length=3, hardness=(0.5, 1.0))
    assert str(told.value) == (
        "hardness: expected a trained run, whose target says what is hard, got a recipe; `terse generate RUN` takes it"
    )
    with pytest.raises(RecipeError) as told:
        CompositeDataset("paste", overrides, length=3, with_real=True)
    assert str(told.value) == "with_real: expected none, since every item is a composite, got with_real=True"


def test_the_end_is_the_end(overrides: list[str]) -> None:
    data = CompositeDataset("paste", overrides, length=2)
    assert torch.equal(data[-1][0], data[1][0])
    with pytest.raises(IndexError):
        data[2]


def test_limits_that_nothing_meets_are_named(overrides: list[str]) -> None:
    data = CompositeDataset(
        "paste", [*overrides, "poses.scale=[1.2, 1.2]"], length=2, objects=(3, 3), max_overlap=0.01, tries=2
    )
    with pytest.raises(DataError) as error:
        data[0]
    assert str(error.value) == (
        "limits: expected a placement that meets them, got no pose with an overlap of at most 0.01"
    )
