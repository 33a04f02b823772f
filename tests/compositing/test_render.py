"""Placements to composites: the same bits alone and in a batch, and the truth of what was drawn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from drawn import PHOTO_POSES, ellipse, noise, smooth
from posed import renderer
from terse.compositing import support_points
from terse.compositing.render import Renderer
from terse.placements import Placements, Role
from terse.poses import build_poses
from terse.poses.affine import AffineConfig
from terse.poses.view import ViewConfig
from terse.recipe_parts import EdgeConfig
from terse.types import Backgrounds, Foregrounds, Truth

_SIDE = 140


class _Shapes:
    keys = tuple("abcd")
    labels = np.array([0, 1, 0, 1])
    classes = ("thin", "wide")

    def __len__(self) -> int:
        return 4

    def fetch(self, indices: np.ndarray) -> Foregrounds:
        alpha = torch.cat([ellipse(100, 0.25 + 0.15 * i, 0.7) for i in indices.tolist()])
        images = torch.cat([smooth(i, 1, (100, 100)) for i in indices.tolist()])
        return Foregrounds(images, alpha, torch.from_numpy(self.labels[indices]), support_points(alpha))


class _Scenes:
    keys = tuple("xyz")

    def __len__(self) -> int:
        return 3

    def fetch(self, indices: np.ndarray) -> Backgrounds:
        images = torch.cat([noise(10 + i, 1, 3, _SIDE, _SIDE) for i in indices.tolist()])
        return Backgrounds(images, Truth.empty(len(indices)))


def _placements(blend: str = "alpha") -> Placements:
    """Three images with one, three and two pastes."""
    pose = PHOTO_POSES.random(6, torch.Generator().manual_seed(4)).double().numpy()
    pose[:, 4] = 0.6
    return Placements(
        background=np.array([2, 0, 1]),
        image_index=np.array([0, 1, 1, 1, 2, 2]),
        foreground=np.array([0, 1, 2, 3, 0, 2]),
        pose=np.round(pose, 5),
        role=np.array([0, 0, int(Role.DISTRACTOR), 0, int(Role.ARTEFACT), 0]),
        texture=np.array([-1, -1, -1, -1, 0, -1]),
        blend=(blend,) * 3,
        seed=np.array([1, 2, 3]),
    )


def _turned(blend: str) -> Placements:
    """Two models seen from the side in one image."""
    pose = np.array([[90.0, 0.0, 0.0, 0.0, -0.9, 0.0, 0.0, 0.5, 0.5], [180.0, 0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.5, 0.5]])
    index, none = np.zeros(2, dtype=np.int64), np.full(2, -1)
    return Placements(
        background=np.zeros(1, dtype=np.int64), image_index=index, foreground=index, pose=pose, role=index,
        texture=none, blend=(blend,), seed=np.array([5]),
    )  # fmt: skip


@pytest.mark.parametrize("blend", ["none", "gaussian"])
def test_a_model_is_seen_from_its_side_in_every_blend(blend: str) -> None:
    family = build_poses([ViewConfig(), AffineConfig(scale=(0.4, 0.6))])
    render = renderer(family)
    plain, other = (render(_turned(kind), masks=True) for kind in ("alpha", blend))
    assert plain.modal is not None
    inside = plain.modal.any(dim=0)
    assert (plain.images[0] - other.images[0])[:, inside].abs().mean() < 4 / 255


def _render(edges: EdgeConfig | None = None) -> Renderer:
    return Renderer(_Shapes(), _Scenes(), PHOTO_POSES, edges, min_visible=0.2)


@pytest.mark.parametrize("edges", [None, EdgeConfig(), EdgeConfig(blur_sigma_px=0.0)])
@pytest.mark.parametrize("blend", ["alpha", "gaussian", "motion"])
def test_alone_and_in_a_batch_the_bits_are_the_same(edges: EdgeConfig | None, blend: str) -> None:
    render, placements = _render(edges), _placements(blend)
    together = render(placements, masks=True)
    again = render(placements, masks=True)
    assert torch.equal(together.images, again.images)
    for image in range(3):
        alone = render(placements.take(np.array([image])), masks=True)
        assert torch.equal(alone.images[0], together.images[image])
        objects = together.truth.image_index == image
        assert torch.equal(alone.truth.boxes_px, together.truth.boxes_px[objects])
        assert torch.equal(alone.truth.labels, together.truth.labels[objects])
        assert torch.equal(alone.modal, together.modal[objects])  # type: ignore[arg-type, index]


def test_only_objects_are_labelled() -> None:
    composites = _render(EdgeConfig())(_placements())
    assert composites.truth.image_index.tolist() == [0, 1, 1, 2]
    assert composites.truth.labels.tolist() == [0, 1, 1, 0]
    assert composites.truth.pasted.all()
    assert composites.modal is None
    assert composites.amodal is None


def test_layers_hold_the_nth_paste_of_each_image() -> None:
    assert [rows.tolist() for rows in _placements().layers] == [[0, 1, 4], [2, 5], [3]]
    assert _placements().take(np.zeros(0, dtype=np.int64)).layers == []


def test_z_order_is_the_order_of_the_placement() -> None:
    placements = _placements().take(np.array([2]))
    pose = placements.pose.copy()
    pose[:] = [0.0, 0.0, 0.0, 0.0, 0.6, 1.0]
    both = replace(placements, pose=pose, role=np.zeros(2, dtype=np.int64))
    seen = _render(EdgeConfig())(both, masks=True)
    lower, upper = seen.visible_fraction.tolist()
    assert lower == 0  # the thin ellipse lies wholly below the wide one
    assert upper > 0.95
    assert seen.truth.ignore.tolist() == [True, False]
    flipped = replace(both, foreground=both.foreground[::-1].copy())
    assert 0.2 < _render(EdgeConfig())(flipped).visible_fraction[0] < 0.9


def test_the_visible_share_of_an_object_that_the_border_cuts() -> None:
    pose = np.array([[0.0, 1.0, 0.0, 0.0, 0.5, 1.0], [0.0, 0.0, 0.0, 0.0, 0.5, 1.0]])
    render = Renderer(_Shapes(), _Scenes(), PHOTO_POSES, EdgeConfig(), min_visible=0.5)
    seen = render(Placements.single(np.array([0, 1]), np.array([1, 1]), pose))
    # 30 % of an ellipse's width hold 25 % of its area.
    assert seen.visible_fraction.tolist() == pytest.approx([0.25, 0.97], abs=0.04)
    assert seen.truth.ignore.tolist() == [True, False]


def test_paste_draws_what_replay_draws() -> None:
    """The synthesizer's step and the pool see the same composites."""
    render = _render(EdgeConfig())
    pose = np.round(PHOTO_POSES.random(3, torch.Generator().manual_seed(1)).double().numpy(), 5)
    cut, below = _Shapes().fetch(np.array([0, 1, 2])), _Scenes().fetch(np.array([0, 1, 2]))
    images, layer = render.paste(below.images, cut, torch.from_numpy(pose).float())
    replayed = render(Placements.single(np.arange(3), np.arange(3), pose))
    assert torch.equal(images, replayed.images)
    assert torch.equal(render.truth(below, [layer]).truth.boxes_px, replayed.truth.boxes_px)


def test_other_blends_keep_the_truth_and_change_rims_alone() -> None:
    render = _render(EdgeConfig())
    alpha, other = render(_placements(), masks=True), render(_placements("none"), masks=True)
    assert torch.equal(alpha.truth.boxes_px, other.truth.boxes_px)
    changed = (alpha.images - other.images).abs().amax(dim=1) > 0.02
    assert 0 < changed.float().mean() < 0.1
