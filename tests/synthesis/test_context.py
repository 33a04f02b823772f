"""Context: a world where suns are in the sky and cars on the ground, and an arm that has to find that out."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from terse.boxes import covered_share
from terse.compositing import support_points
from terse.errors import DataError, RecipeError
from terse.placements import Placements
from terse.poses import AffinePoses
from terse.protocols import Proposer
from terse.recipe_parts import EdgeConfig
from terse.synthesis.context.config import ContextConfig
from terse.synthesis.context.crops import BoxShapes, cut, draw_frames, training_crops
from terse.synthesis.context.network import score_crops, train_context
from terse.synthesis.context.proposer import ContextProposer
from terse.synthesis.framing import Framing
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import BaseProposer, propose
from terse.types import Backgrounds, Foregrounds, Truth

SIDE = 64
POSES = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.1, 1.0), stretch=(0.8, 1.25), min_visible=0.3)
FAST = {"crops": 1200, "epochs": 4, "crop_px": 24, "candidates": 60, "background_share": 0.4}


def sky_over_ground(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    images = 0.5 + 0.1 * torch.randn(count, 3, SIDE, SIDE, generator=generator)
    images[:, 2, : SIDE // 2] += 0.35
    images[:, 1, SIDE // 2 :] += 0.35
    return images.clamp(0, 1)


class Scenes:
    """Suns, square, above; cars, wide, below; nothing else."""

    def __init__(self, count: int, *, boxes: bool = True) -> None:
        self.images = sky_over_ground(count, 1)
        draw = np.random.default_rng(2)
        self.labels = torch.from_numpy(draw.integers(0, 2, count))
        size = torch.where(self.labels[:, None] == 0, torch.tensor([14.0, 14.0]), torch.tensor([22.0, 11.0]))
        x = torch.from_numpy(draw.uniform(0, 1, count)).float() * (SIDE - size[:, 0])
        y = torch.from_numpy(draw.uniform(0, 1, count)).float() * (SIDE / 2 - size[:, 1]) + self.labels * SIDE / 2
        corner = torch.stack([x, y], dim=1).round()
        self.boxes = torch.cat([corner, corner + size], dim=1) if boxes else torch.zeros(count, 4)

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: np.ndarray) -> tuple[torch.Tensor, Truth]:
        rows = torch.from_numpy(indices)
        return self.images[rows], Truth.of_images(self.labels[rows], self.boxes[rows])


class CutOuts:
    """Red discs and wide black boxes."""

    def __init__(self) -> None:
        self.classes = ("sun", "car")
        self.labels = np.array([0, 0, 1, 1])
        self.keys = tuple(f"cut:{i}" for i in range(4))

    def __len__(self) -> int:
        return 4

    def fetch(self, indices: np.ndarray) -> Foregrounds:
        labels = torch.from_numpy(self.labels[indices])
        y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
        disc, wide = (x**2 + y**2 < 0.8).float(), (y.abs() < 0.45).float()
        alpha = torch.where(labels[:, None, None] == 0, disc, wide)[:, None]
        colour = torch.where(labels[:, None, None, None] == 0, torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1), 0.0)
        return Foregrounds(colour.expand(-1, 3, 32, 32), alpha, labels, support_points(alpha))


class Places:
    """The same world, empty, or with one object that is labelled already."""

    def __init__(self, count: int, box: torch.Tensor | None = None) -> None:
        self.images = sky_over_ground(count, 3)
        self.keys = tuple(f"place:{i}" for i in range(count))
        self.box = box

    def __len__(self) -> int:
        return len(self.images)

    def fetch(self, indices: np.ndarray) -> Backgrounds:
        images = self.images[torch.from_numpy(indices)]
        if self.box is None:
            return Backgrounds(images, Truth.empty(len(images)))
        labels = torch.zeros(len(images), dtype=torch.int64)
        return Backgrounds(images, Truth.of_images(labels, self.box.expand(len(images), 4)))


def canvases(placements: Placements) -> np.ndarray:
    return placements.size_px[placements.image_index]


def world(**parts: object) -> Materials:
    banks = {"foregrounds": CutOuts(), "backgrounds": Places(10), "real": Scenes(240), **parts}
    return Materials(
        banks["foregrounds"], banks["backgrounds"], POSES, EdgeConfig(), banks["real"], ("sun", "car"), SIDE, seed=0
    )


@pytest.fixture(scope="module")
def proposed() -> tuple[Materials, ContextProposer, Placements]:
    context = world()
    proposer = ContextConfig.model_validate(FAST).build(context)
    return context, proposer, propose(proposer, 80, 0)


def test_it_is_an_arm(proposed: tuple[Materials, ContextProposer, Placements]) -> None:
    _, proposer, placements = proposed
    assert isinstance(proposer, Proposer)
    assert (proposer.keeps_hard, proposer.module) == (False, None)
    assert len(placements) == 80
    assert np.array_equal(np.unique(placements.image_index), np.arange(80))
    assert set(placements.blend) == {"gaussian", "box", "none"}


def test_suns_go_into_the_sky_and_cars_onto_the_ground(proposed: tuple[Materials, ContextProposer, Placements]) -> None:
    context, _, placements = proposed
    boxes = Framing(context.foregrounds, POSES).boxes_px(placements.foreground, placements.pose, canvases(placements))
    centre = (boxes[:, 1] + boxes[:, 3]) / 2
    labels = context.foregrounds.labels[placements.foreground]
    assert min(np.bincount(labels, minlength=2)) > 20
    assert (centre[labels == 0] < SIDE / 2).mean() > 0.9
    assert (centre[labels == 1] > SIDE / 2).mean() > 0.9


def test_cut_outs_are_upright_and_as_large_as_the_real_ones(
    proposed: tuple[Materials, ContextProposer, Placements],
) -> None:
    context, _, placements = proposed
    assert (placements.pose[:, POSES.names.index("rotation_deg")] == 0).all()
    extents = Framing(context.foregrounds, POSES).extents_px(
        placements.foreground, placements.pose, canvases(placements)
    )
    assert extents[:, 0].min() > 5
    assert extents.max() < 30
    assert np.array_equal(placements.pose, np.round(placements.pose, 5))


def test_the_seed_alone_decides(proposed: tuple[Materials, ContextProposer, Placements]) -> None:
    _, proposer, placements = proposed
    again = ContextConfig.model_validate(FAST).build(world())
    again.places(7)  # what was asked before changes nothing
    torch.rand(5)
    repeated = propose(again, 80, 0)
    assert np.array_equal(repeated.pose, placements.pose)
    assert np.array_equal(repeated.background, placements.background)
    assert repeated.blend == placements.blend
    other = propose(proposer, 80, 1)
    assert not np.array_equal(other.background, placements.background)


def test_what_is_labelled_already_is_not_covered() -> None:
    left = torch.tensor([0.0, 0.0, 32.0, 64.0])  # all of the left half
    context = world(backgrounds=Places(4, left))
    places = ContextConfig.model_validate(FAST).build(context).places(0)
    assert len(places.boxes) > 0
    assert (covered_share(places.boxes, left[None].double().numpy() / SIDE) < 0.3).all()


def test_a_background_where_nothing_fits_gives_its_best() -> None:
    settings = FAST | {"threshold": 1.0, "objects": (1, 1)}
    proposer = ContextConfig.model_validate(settings).build(world())
    placements = propose(proposer, 6, 0)
    assert np.array_equal(np.bincount(placements.image_index), np.ones(6))
    assert not proposer.places(0).fitting


def test_a_class_that_fits_nowhere_is_pasted_where_it_fits_best() -> None:
    """Every class can reach what is wanted of it, though the network would put another one everywhere."""
    proposer = ContextConfig.model_validate(FAST | {"threshold": 1.0, "objects": (1, 1)}).build(world())
    seeds = np.arange(40, dtype=np.uint64)
    asked, found = BaseProposer.requests(proposer, seeds), proposer.requests(seeds)
    assert found.labels == asked.labels
    placements = proposer.propose(found)
    labels = proposer.materials.foregrounds.labels[placements.foreground]
    assert [(label,) for label in labels] == list(asked.labels)


def test_classifiers_have_no_boxes_to_learn_from() -> None:
    proposer = ContextConfig.model_validate(FAST).build(world(real=Scenes(10, boxes=False)))
    with pytest.raises(DataError) as caught:
        propose(proposer, 1, 0)
    assert str(caught.value) == (
        "synthesis.kind: expected real images with boxes, which context is learnt from, got none; "
        "use cut_paste_learn or random"
    )


def test_foregrounds_of_other_classes_only(shapes: Callable[..., Materials]) -> None:
    with pytest.raises(RecipeError) as caught:
        ContextConfig().build(shapes(classes=("dog",)))
    assert str(caught.value) == (
        "foregrounds: expected some of the classes dog, got circle, square, triangle; set `classes`"
    )
    with pytest.raises(
        ValidationError, match=r"objects\n.* expected the smaller number first, got \[2, 1\]; swap them"
    ):
        ContextConfig(objects=(2, 1))


def test_the_network_beats_chance_on_images_it_has_not_seen() -> None:
    seen, _ = training_crops(Scenes(200), count=1000, background_share=0.5, side_px=24, draw=np.random.default_rng(0))
    assert (seen.labels > 0).float().mean().item() == pytest.approx(0.5, abs=0.1)
    before = torch.get_rng_state()
    network = train_context(seen, 2, epochs=4, lr=2e-3, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    scores = score_crops(network, seen.crops)
    assert scores.sum(dim=1) == pytest.approx(torch.ones(len(scores)).numpy(), abs=1e-5)
    objects = seen.labels > 0
    told_apart = scores[objects, 1:].argmax(dim=1) + 1 == seen.labels[objects]
    assert told_apart.float().mean() > 0.95


def test_frames_hold_their_boxes_and_show_enough() -> None:
    draw = np.random.default_rng(0)
    corner = draw.uniform(0, 0.6, (500, 2))
    boxes = np.concatenate([corner, corner + draw.uniform(0.01, 0.4, (500, 2))], axis=1)
    frames = draw_frames(boxes, draw)
    assert (frames[:, :2] <= boxes[:, :2] + 1e-9).all()
    assert (frames[:, 2:] >= boxes[:, 2:] - 1e-9).all()
    assert frames.min() >= -1e-9
    assert frames.max() <= 1 + 1e-9
    area, of_box = (np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (frames, boxes))
    assert (area >= 0.3 + of_box - 1e-9).all()


def test_the_box_is_masked_out() -> None:
    image = torch.full((1, 3, 128, 128), 200, dtype=torch.uint8)
    boxes, frames = np.array([[0.25, 0.5, 0.5, 1.0]]), np.array([[0.0, 0.0, 1.0, 1.0]])
    crop = cut(image, np.zeros(1, dtype=np.int64), boxes, frames, 16)[0]
    inside = torch.zeros(16, 16, dtype=torch.bool)
    inside[8:, 4:8] = True
    assert torch.equal(crop[3] == 255, inside)
    assert torch.equal(crop[0] == 128, inside)
    assert (crop[:3, ~inside] == 200).all()


def test_shapes_are_drawn_like_the_real_ones() -> None:
    draw = np.random.default_rng(0)
    real = np.array([[0.0, 0.0, 0.2, 0.4]] * 90 + [[0.0, 0.0, 0.6, 0.6]] * 10)
    drawn = BoxShapes(real).draw(2000, draw)
    size = drawn[:, 2:] - drawn[:, :2]
    assert len(drawn) == 2000
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    tall = size[:, 1] / size[:, 0] > 1.6
    assert tall.mean() == pytest.approx(0.9, abs=0.06)
    assert len(BoxShapes(np.array([[0.0, 0.0, 1.0, 1.0]])).draw(5, draw)) <= 5  # nothing fits in, nothing hangs


def test_overlap_by_hand() -> None:
    boxes = np.array([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0]])
    assert covered_share(boxes, np.array([[0.25, 0.0, 0.5, 0.5], [0.4, 0.4, 0.6, 0.6]])).tolist() == [
        1.0,
        pytest.approx(0.25),
    ]
    assert covered_share(boxes, np.zeros((0, 4))).tolist() == [0.0, 0.0]
