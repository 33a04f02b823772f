"""Every target with affine poses: a run of two cycles on drawn scenes, and what must hold of any run."""

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch

from killing import Killed, KillIn, lasting
from target_subjects import Subject, targets
from terse.compositing.truth import boxes_of_masks
from terse.recipe import load_recipe
from terse.run import open_run, open_session, train
from terse.tasks.task import task
from terse.training.phases import synthesizer_phase, target_phase

pytestmark = pytest.mark.usefixtures("trusts")

FEW = "cycles=2 pretrain.epochs=1 fine_tune.epochs=1 runtime.workers=0"
_SHAPES = (
    "data.train=8 data.val=4 data.test=4 data.backgrounds=6 pool.per_cycle=4 pool.candidates=8 canvas_px=64 "
    "data.canvas_px=64 hardness.kind=probability hardness.below=1 synthesis.statistics_pairs=8 "
    "synthesis.batch_size=4 synthesis.steps=2 synthesis.discriminator=false fine_tune.batch_size=4 pretrain.batch_size=4"
)
RECIPES = {  # of each task: a recipe, and what makes it small
    "classification": (
        "quickstart",
        "data.train=60 data.val=20 data.test=20 pool.per_cycle=10 pool.candidates=40 hardness.above=-1 "
        "synthesis.batch_size=16 synthesis.steps=2 synthesis.max_steps=2 synthesis.harvest_from=1 "
        "synthesis.statistics_pairs=16",
    ),
    "detection": ("shapes", _SHAPES),
    "instances": ("shapes", f"task=instances {_SHAPES}"),
    "segmentation": ("shapes-segmentation", _SHAPES),
    "regression": ("shapes-regression", _SHAPES),
}
every_kind = targets(  # of a kind with several subjects one; all of them in the slow tests
    runs=True,
    by_default=(
        *("mnist_classifier", "mnist_classifier_deep", "user", "timm", "detr", "ssd_small"),
        *("regressor-angle", "lraspp_mobilenet_v3_large"),
    ),
)
KILLED = ("mnist_classifier", "ssd_small")


def recipe_of(subject: Subject) -> Any:
    """The two cycles of a target, in its task's recipe."""
    name, few = RECIPES[subject.task]
    settings = ", ".join(f"{key}: {value}" for key, value in subject.settings.items())
    return load_recipe(name, [*FEW.split(), *few.split(), *subject.run, f"target={{kind: {subject.kind}, {settings}}}"])


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Each target's run: its folder and its result; made when it is asked for."""

    @functools.cache
    def run(subject: Subject) -> tuple[Any, dict[str, Any]]:
        folder = tmp_path_factory.mktemp(subject.name or subject.kind) / "run"
        return folder, train(recipe_of(subject), out=folder)

    return run


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return copy.deepcopy(module.state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], value) for name, value in other.items())


@every_kind
def test_two_cycles_leave_a_measured_target_and_a_page(unbroken: Any, subject: Subject) -> None:
    folder, result = unbroken(subject)
    primary = task(recipe_of(subject).task).primary.name
    assert result["primary"] == primary
    assert [row["cycle"] for row in result["cycles"]] == [1, 2]
    assert result["cycles"][-1]["samples"] > 0
    assert all(isinstance(row[primary], float) for row in result["cycles"])
    assert (folder / "page" / "page.json").is_file()


@every_kind
def test_the_pool_is_drawn_again_bit_for_bit_alone_and_together(unbroken: Any, subject: Subject) -> None:
    _, players, pool = open_run(unbroken(subject)[0])
    render = players.materials.render
    together = render(pool.placements, masks=True)
    for row in range(min(len(pool), 3)):
        alone = render(pool.placements.take(np.array([row])), masks=True)
        assert torch.equal(alone.images[0], together.images[row])
        mine, its = alone.truth, together.truth.take([row])
        for name in ("labels", "boxes_px", "masks", "keypoints"):
            one, other = getattr(mine, name), getattr(its, name)
            assert (one is None and other is None) or torch.equal(one, other)


@every_kind
def test_labels_agree_with_pixels(unbroken: Any, subject: Subject) -> None:
    recipe, players, pool = open_run(unbroken(subject)[0])
    drawn = players.materials.render(pool.placements, masks=True)
    truth, modal = drawn.truth, drawn.modal
    assert modal is not None
    assert torch.equal(truth.boxes_px, boxes_of_masks(modal))
    assert truth.masks is None or torch.equal(truth.masks, modal)
    assert truth.labels[truth.pasted].tolist() == pool.placements.label[truth.image_index[truth.pasted]].tolist()
    plain = players.materials.backgrounds.fetch(pool.placements.background).images
    changed = (drawn.images - plain).abs().amax(dim=1)
    reach = 0 if recipe.edges is None else 2 + int(4 * recipe.edges.blur_sigma_px)
    for image in range(len(pool)):
        inside = modal[truth.image_index == image].any(dim=0)
        # What goes on outside the canvas has soft edges that come in again at the border: outside counts as the object.
        around = torch.nn.functional.pad(inside[None].float(), [reach] * 4, value=1.0)
        near = torch.nn.functional.max_pool2d(around, 2 * reach + 1, 1)[0] > 0
        # Digits have no edge step: their ink fades out below half of the alpha, outside the mask.
        assert changed[image][~near].max() <= (0.5 if recipe.edges is None else 0.02)
        assert changed[image][inside].mean() > 0.05


@every_kind
def test_a_phase_that_trains_one_player_leaves_the_others_bit_for_bit(subject: Subject) -> None:
    session = open_session(recipe_of(subject), None)
    players: Any = session.players
    target, synthesizer = players.target.module, players.proposer.module
    before = state(target), state(synthesizer)
    synthesizer_phase(session, 1)
    after = state(synthesizer)
    assert same(before[0], target.state_dict())
    assert not same(before[1], after)
    target_phase(session, 1, session.recipe.fine_tune)
    assert same(after, synthesizer.state_dict())
    assert not same(before[0], target.state_dict())


@targets(runs=True, by_default=KILLED)
def test_a_killed_run_goes_on_to_the_same_figures_and_weights(
    unbroken: Any, subject: Subject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, whole = unbroken(subject)
    out = tmp_path_factory.mktemp("killed") / "run"
    with pytest.raises(Killed):
        train(recipe_of(subject), out=out, observer=KillIn(2, "target", 1))
    again = train(recipe_of(subject), out=out, resume=True)
    assert str(lasting(again)) == str(lasting(whole))
    mine, theirs = (torch.load(path / "target.pth", weights_only=True) for path in (out, folder))
    assert same(mine, theirs)
