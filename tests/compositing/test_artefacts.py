"""Patches of other backgrounds: where they may go, what they are cut from, and that a record replays them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from drawn import PHOTO_POSES, ellipse, noise
from terse.compositing import support_points
from terse.compositing.artefacts import draw_patches, paste_patches
from terse.compositing.render import Renderer
from terse.placements import Placements, Role
from terse.recipe_parts import ArtefactConfig, EdgeConfig
from terse.types import Backgrounds, Foregrounds, Truth

_SIDE = 72
_ALWAYS = ArtefactConfig(count=2, probability=1.0)


class _Shapes:
    """Red ellipses; their colour must show in no patch."""

    keys = ("0", "1", "2")
    labels = np.zeros(3, dtype=np.int64)
    classes = ("thing",)

    def __len__(self) -> int:
        return 3

    def fetch(self, indices: np.ndarray) -> Foregrounds:
        alpha = torch.cat([ellipse(40, 0.2 + 0.15 * i, 0.7) for i in indices] or [torch.zeros(0, 1, 40, 40)])
        red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(len(indices), -1, 40, 40)
        return Foregrounds(red, alpha, torch.zeros(len(indices), dtype=torch.int64), support_points(alpha))


class _Scenes:
    """Green of four shades; the objects that a scene holds are blue."""

    keys = ("0", "1", "2", "3")

    def __init__(self, boxes: dict[int, tuple[int, int, int, int]] | None = None) -> None:
        self.boxes = boxes or {}

    def __len__(self) -> int:
        return 4

    def fetch(self, indices: np.ndarray) -> Backgrounds:
        images = torch.zeros(len(indices), 3, _SIDE, _SIDE)
        boxes, index = [], []
        for k, number in enumerate(indices.tolist()):
            images[k, 1] = 0.2 + 0.2 * number
            if number in self.boxes:
                x0, y0, x1, y1 = self.boxes[number]
                images[k, :, y0:y1, x0:x1] = torch.tensor([0.0, 0.0, 1.0]).view(3, 1, 1)
                boxes.append(self.boxes[number])
                index.append(k)
        return Backgrounds(images, _truth(boxes, index, len(indices)))


def _truth(boxes: list[tuple[int, int, int, int]], index: list[int], count: int) -> Truth:
    n = len(boxes)
    no = torch.zeros(n, dtype=torch.bool)
    boxes_px = torch.tensor(boxes, dtype=torch.float32).view(n, 4)
    return Truth(torch.zeros(n, dtype=torch.int64), boxes_px, torch.tensor(index, dtype=torch.int64), no, no, count)


def _draw(truth: Truth, seed: int = 0, settings: ArtefactConfig = _ALWAYS, scenes: _Scenes | None = None) -> Placements:
    generator = torch.Generator().manual_seed(seed)
    return draw_patches(
        truth, (_SIDE, _SIDE), _Shapes(), scenes or _Scenes(), PHOTO_POSES, settings, generator, edges=EdgeConfig()
    )


def _renderer(scenes: _Scenes | None = None) -> Renderer:
    return Renderer(_Shapes(), scenes or _Scenes(), PHOTO_POSES, EdgeConfig())


@pytest.mark.parametrize("seed", range(5))
def test_objects_keep_every_bit_and_the_rest_gets_patches(seed: int) -> None:
    random = np.random.default_rng(seed)
    corner, extent = random.integers(0, 40, (12, 2)), random.integers(5, 40, (12, 2))
    boxes = [tuple(int(v) for v in (*c, *(c + e))) for c, e in zip(corner, extent, strict=True)]
    truth = _truth(boxes, sorted(random.integers(0, 8, 12).tolist()), 8)
    images = noise(seed, 8, 3, _SIDE, _SIDE)
    patches = _draw(truth, seed)
    drawn = paste_patches(images, patches, _renderer())
    changed = (drawn != images).any(dim=1)
    for (x0, y0, x1, y1), k in zip(boxes, truth.image_index.tolist(), strict=True):
        assert not changed[k, y0:y1, x0:x1].any()
    assert set(changed.any(dim=(1, 2)).nonzero().flatten().tolist()) <= set(patches.image_index.tolist())
    assert len(patches.foreground) > 4


def test_patches_are_cut_from_other_backgrounds_without_their_objects() -> None:
    # Every scene but one holds an object right where the shapes lie.
    scenes = _Scenes(dict.fromkeys((0, 1, 3), (20, 20, 50, 50)))
    patches = _draw(Truth.empty(20), 1, scenes=scenes)
    assert set(patches.texture.tolist()) == {2}
    assert 10 < len(patches.foreground) < 40  # one in four, tried four times
    black = torch.zeros(20, 3, _SIDE, _SIDE)
    drawn = paste_patches(black, patches, _renderer(scenes))
    assert drawn[:, 1].max().item() == pytest.approx(0.6, abs=1e-5)
    assert drawn[:, 0].max() == 0  # the shape's own colour
    assert drawn[:, 2].max() == 0  # the objects'


def test_a_patch_never_comes_from_its_own_image() -> None:
    generator = torch.Generator().manual_seed(0)
    own = np.array([0, 1, 2, 3] * 10)
    patches = draw_patches(
        Truth.empty(40), (_SIDE, _SIDE), _Shapes(), _Scenes(), PHOTO_POSES, _ALWAYS, generator, own=own
    )
    assert (patches.texture != own[patches.image_index]).all()
    assert set(patches.texture.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("seed", range(4))
def test_composites_and_real_images_have_patches_at_one_rate(seed: int) -> None:
    """Half of the composites hold an object that leaves no room; the real ones are empty."""
    full = [(2, 2, _SIDE - 2, _SIDE - 2)] * 10
    truth = _truth(full, list(range(10)), 40)
    fake = torch.arange(40) < 20
    generator, half = torch.Generator().manual_seed(seed), ArtefactConfig(count=2, probability=0.8)
    patches = draw_patches(truth, (_SIDE, _SIDE), _Shapes(), _Scenes(), PHOTO_POSES, half, generator, fake=fake)
    held = np.unique(patches.image_index)
    of_fakes, of_reals = int((held < 20).sum()), int((held >= 20).sum())
    assert of_fakes == of_reals
    assert 3 <= of_fakes <= 10


def test_the_share_of_images_and_the_count_are_the_recipes() -> None:
    patches = _draw(Truth.empty(2000), settings=ArtefactConfig(count=3, probability=0.25))
    images, counts = np.unique(patches.image_index, return_counts=True)
    assert set(counts.tolist()) == {3}
    assert len(images) / 2000 == pytest.approx(0.25, abs=0.03)
    assert (np.diff(patches.image_index) >= 0).all()
    assert len(np.unique(patches.pose, axis=0)) == len(patches.foreground)
    assert len(_draw(Truth.empty(50), settings=ArtefactConfig(count=0)).foreground) == 0
    assert len(_draw(Truth.empty(50), settings=ArtefactConfig(probability=0)).foreground) == 0


def test_an_image_full_of_an_object_goes_without() -> None:
    patches = _draw(_truth([(0, 0, _SIDE, _SIDE)], [1], 3))
    assert set(patches.image_index.tolist()) == {0, 2}


def test_the_generator_is_the_only_randomness() -> None:
    first, again, other = (_draw(Truth.empty(6), seed) for seed in (3, 3, 4))
    assert np.array_equal(first.pose, again.pose)
    assert np.array_equal(first.texture, again.texture)
    assert not np.array_equal(first.pose, other.pose)


def test_a_placement_with_patches_replays_what_was_pasted() -> None:
    placements = Placements.single(np.arange(4), np.array([0, 1, 2, 0]), PHOTO_POSES.random(
        4, torch.Generator().manual_seed(5)).double().numpy())  # fmt: skip
    render = _renderer()
    plain = render(placements)
    patches = _draw(plain.truth, 7)
    whole = patches.under(placements)
    assert (np.diff(whole.image_index) >= 0).all()
    assert (whole.role == Role.ARTEFACT).sum() == len(patches.foreground) > 0
    replayed = render(whole)
    by_hand = paste_patches(plain.images, patches, render)
    torch.testing.assert_close(replayed.images, by_hand, rtol=0, atol=1e-6)
    assert torch.equal(replayed.truth.boxes_px, plain.truth.boxes_px)
    assert torch.equal(replayed.truth.labels, plain.truth.labels)


def test_gradients_of_the_image_pass_beside_a_patch_and_not_through_it() -> None:
    images = noise(0, 1, 3, _SIDE, _SIDE).requires_grad_()
    single = Placements.single(np.array([0]), np.array([2]), np.array([[0.0, 0.0, 0.0, 0.0, 0.8, 1.0]]))
    patches = replace(single, role=np.array([int(Role.ARTEFACT)]), texture=np.array([1]))
    paste_patches(images, patches, _renderer()).sum().backward()
    gradient: Tensor = images.grad  # type: ignore[assignment]
    assert gradient[0, :, _SIDE // 2, _SIDE // 2].abs().max() < 1e-6
    assert (gradient[0, :, 0, 0] == 1).all()
