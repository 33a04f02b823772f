"""What a GPU computes agrees with the CPU: `pytest -m gpu`; `TERSE_TEST_DEVICE` names another device than cuda."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from killing import Killed, KillIn
from terse.recipe import load_recipe
from terse.run import open_session, train
from terse.synthesis.blind import BlindProposer
from terse.synthesis.proposer import propose
from terse.training.phases import synthesizer_phase

pytestmark = pytest.mark.gpu

DEVICE = os.environ.get("TERSE_TEST_DEVICE", "cuda")
_PHOTOGRAPHS = (
    "cycles=1 pretrain.epochs=1 fine_tune.epochs=1 data.train=12 data.val=4 data.test=4 data.backgrounds=6 pool.per_cycle=6 "
    "pool.candidates=24 hardness.kind=probability hardness.below=1 synthesis.statistics_pairs=8 synthesis.batch_size=4 "
    "fine_tune.batch_size=4 pretrain.batch_size=4"
)
_FAMILIES = (
    "poses=[{kind: affine, rotation_deg: [-30, 30], scale: [0.3, 0.8]}, {kind: perspective}, {kind: thin_plate}, "
    "{kind: photometric}, {kind: photometric, on: image}, {kind: shadow}]"
)
WAYS = ["digits", "photographs", "families"]


@pytest.fixture(autouse=True)
def there() -> None:
    if DEVICE.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")


def recipe_of(way: str, small: list[str], device: str) -> Any:
    own = [f"runtime.device={device}", "runtime.precision=float32", "runtime.threads=1"]
    if way == "digits":
        return load_recipe("quickstart", [*small, *own])
    return load_recipe("shapes", [*_PHOTOGRAPHS.split(), *own, *([_FAMILIES] if way == "families" else [])])


def near(one: torch.Tensor, other: torch.Tensor, atol: float) -> None:
    torch.testing.assert_close(one.detach().cpu().float(), other.detach().cpu().float(), atol=atol, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_composites_and_the_gradient_at_the_pose(way: str, small: list[str]) -> None:
    found = []
    for device in ("cpu", DEVICE):
        materials = open_session(recipe_of(way, small, device), None).players.materials
        placements = propose(BlindProposer(materials, 8), 8, 0, "devices")
        composites = materials.render(placements, masks=True)
        assert composites.images.device.type == torch.device(device).type
        assert composites.modal is not None
        found.append((composites.images, composites.modal, composites.truth.boxes_px))
    (images, masks, boxes), (other_images, other_masks, other_boxes) = found
    difference = (images.cpu() - other_images.cpu()).abs()
    assert difference.mean() < 1 / 255 / 10
    assert (difference > 2 / 255).float().mean() < 1e-3  # where a rounded coordinate falls on the next pixel
    assert (masks.cpu() != other_masks.cpu()).float().mean() < 1e-3
    near(boxes, other_boxes, atol=1.0)


@pytest.mark.parametrize("way", WAYS)
def test_a_first_step_of_the_synthesizer(way: str, small: list[str]) -> None:
    """Same draws, same weights: the losses of step 1 agree, and the weights after it."""
    found = []
    for device in ("cpu", DEVICE):
        few = [setting for setting in small if not setting.startswith(("synthesis.steps", "synthesis.max_steps"))]
        recipe = recipe_of(way, few, device)
        one = {"steps": 1, "max_steps": 1} if way == "digits" else {"steps": 1}
        recipe = recipe.model_copy(update={"synthesis": recipe.synthesis.model_copy(update=one)})
        session = open_session(recipe, None)
        players: Any = session.players
        before = {name: value.clone() for name, value in players.proposer.module.state_dict().items()}
        synthesizer_phase(session, 1)
        after = players.proposer.module.state_dict()
        moved = {name: (after[name] - value).float() for name, value in before.items() if value.is_floating_point()}
        found.append({name: value.cpu() for name, value in moved.items()})
    assert any(value.abs().max() > 0 for value in found[0].values())
    along = sum(float((found[0][name] * found[1][name]).sum()) for name in found[0])
    norms = [sum(float((value**2).sum()) for value in one.values()) ** 0.5 for one in found]
    assert along > 0.98 * norms[0] * norms[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_ends_near_the_cpus_and_its_folder_serves_on_the_cpu(way: str, small: list[str], tmp_path: Path) -> None:
    folders = tmp_path / "cpu", tmp_path / "device"
    results = [
        train(recipe_of(way, small, device), out=out) for device, out in zip(("cpu", DEVICE), folders, strict=True)
    ]
    primary = results[0]["primary"]
    for when in ("start", "end"):
        one, other = (result["metrics"][when][primary] for result in results)
        assert abs(one - other) < 0.2, (when, one, other)  # tiny networks on a handful of images
    losses = [
        [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()[:3]] for out in folders
    ]
    np.testing.assert_allclose(*losses, rtol=0.02)
    weights = torch.load(folders[1] / "target.pth", weights_only=True, map_location="cpu")
    assert all(torch.isfinite(value).all() for value in weights.values() if value.is_floating_point())
    on_cpu = train(recipe_of(way, small, "cpu"), out=folders[1], resume=True)  # finished: its result is read
    assert on_cpu["metrics"] == results[1]["metrics"]


@pytest.mark.parametrize("way", ["digits", "photographs"])
def test_a_killed_run_goes_on_near_the_unbroken_one(way: str, small: list[str], tmp_path: Path) -> None:
    recipe = recipe_of(way, small, DEVICE)
    whole = train(recipe, out=tmp_path / "whole")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "cut", observer=KillIn(1, "target", 1))
    again = train(recipe, out=tmp_path / "cut", resume=True)
    assert [row["samples"] for row in again["cycles"]] == [row["samples"] for row in whole["cycles"]]
    for name, value in torch.load(tmp_path / "whole" / "target.pth", weights_only=True, map_location="cpu").items():
        other = torch.load(tmp_path / "cut" / "target.pth", weights_only=True, map_location="cpu")[name]
        near(value, other, atol=0.05)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("way", ["digits", "photographs"])
def test_narrow_numbers_train(way: str, precision: str, small: list[str]) -> None:
    recipe = recipe_of(way, small, DEVICE)
    recipe = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"precision": precision})})
    result = train(recipe)
    assert all(np.isfinite(row[result["primary"]]) for row in result["cycles"])
