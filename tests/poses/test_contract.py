"""One suite that every registered pose family passes; a new family is in it by being registered."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from drawn import noise
from posed import SIZE_PX, apart, cut_out, renderer
from terse.compositing.raster import place_px
from terse.placements import Placements
from terse.placements_table import from_table, to_table
from terse.poses import Chain, PoseFamily, build_poses
from terse.recipe import load_recipe
from terse.recipe_parts import EdgeConfig
from terse.registry import kinds
from terse.types import Foregrounds

AFFINE = "{kind: affine, rotation_deg: [-45, 45], scale: [0.3, 0.9], stretch: [0.8, 1.25], min_visible: 0.7}"
# Kinds that need more than their name in a recipe, and every way of those that act in more than one.
WAYS = {
    "affine": [AFFINE],
    "photometric": ["{kind: photometric, vignette: [0, 0.4]}", "{kind: photometric, on: image}"],
    "thin_plate": ["{kind: thin_plate}", "{kind: thin_plate, grid: 4}"],
    "perspective": ["{kind: perspective}", "{kind: perspective, strength: 0.4}"],
}
OWN = [kind for kind, config in kinds("pose").items() if config.__module__.startswith("terse.")]
CASES = [way for kind in OWN for way in WAYS.get(kind, [f"{{kind: {kind}}}"])]
every_family = pytest.mark.parametrize("way", CASES)


def alone(way: str) -> PoseFamily:
    """The family by itself."""
    built = build_poses(load_recipe("detector", [f"poses=[{way}, {AFFINE}]"]).poses)
    assert isinstance(built, Chain)
    if built.image is not None:
        assert isinstance(built.image, Chain)
        return built.image.members[0]
    return built.members[0]


def chained(way: str) -> PoseFamily:
    """The family with one that places foregrounds."""
    families = way if way == AFFINE else f"[{way}, {AFFINE}]"
    return build_poses(load_recipe("detector", [f"poses={families}"]).poses)


def poses_of(family: PoseFamily, count: int, seed: int = 0) -> Tensor:
    """Random poses, and among them some at the ends of all ranges."""
    pose = family.random(count, torch.Generator().manual_seed(seed))
    low, high = torch.tensor(family.ranges).T
    ends = torch.where(noise(seed, count, family.size) < 0.5, low, high)
    return torch.cat([pose[: count // 2], ends[count // 2 :]])


def hull_of(count: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return cut_out(0)[0].hull.to(dtype).expand(count, -1, -1)


@every_family
def test_names_ranges_and_neutral_values_belong_together(way: str) -> None:
    family = alone(way)
    assert family.size == len(family.names) == len(set(family.names)) == len(family.ranges) == len(family.neutral)
    assert all(low <= high for low, high in family.ranges)
    raw = 20 * (noise(1, 40, family.size) - 0.5)
    low, high = torch.tensor(family.ranges).T
    for pose in (family.from_raw(raw), poses_of(family, 40)):
        assert ((pose >= low - 1e-6) & (pose <= high + 1e-6)).all()
    unit = noise(2, 40, family.size) * 0.98 + 0.01
    free = low < high
    torch.testing.assert_close(family.to_unit(family.from_unit(unit))[:, free], unit[:, free], atol=1e-5, rtol=0)
    torch.testing.assert_close(family.from_raw(family.to_raw(unit)), family.from_unit(unit), atol=1e-3, rtol=1e-4)
    middle = family.from_raw(torch.zeros(1, family.size))[0]
    torch.testing.assert_close(middle, (low + high) / 2)


@every_family
def test_neutral_values_are_the_identity_bit_for_bit(way: str) -> None:
    """Whatever else is in the batch."""
    family = alone(way)
    pose = torch.cat([torch.tensor([family.neutral]), poses_of(family, 2)])
    seeds, images = torch.tensor([3, 4, 5]), noise(3, 3, 3, 60, 80)
    cut = Foregrounds(
        noise(4, 3, 3, 48, 48), noise(5, 3, 1, 48, 48).round(), torch.zeros(3, dtype=torch.int64), hull_of(3)
    )
    assert torch.equal(family.finish(images, pose, seeds)[0], images[0])
    prepared = family.prepare(cut, pose, seeds)
    assert torch.equal(prepared.images[0], cut.images[0])
    assert torch.equal(prepared.alpha[0], cut.alpha[0])
    assert torch.equal(family.shade(images, noise(6, 3, 1, 60, 80), pose)[0], images[0])
    where = family.sampling(pose, cut.hull, torch.ones(3, 2))
    if where is not None:
        x, y = noise(7, 3, 50) * 2 - 1, noise(8, 3, 50) * 2 - 1
        u, v = where.at(x, y)
        assert torch.equal(u[0], x[0])
        assert torch.equal(v[0], y[0])


@every_family
def test_the_gradient_is_that_of_finite_differences(way: str) -> None:
    family = alone(way)
    low, high = torch.tensor(family.ranges, dtype=torch.float64).T
    pose = (low + (high - low) * (0.2 + 0.6 * noise(1, 2, family.size).double())).requires_grad_()
    images, seeds = 0.2 + 0.5 * noise(3, 2, 3, 12, 14).double(), torch.tensor([3, 4])
    alpha = torch.zeros(2, 1, 12, 14, dtype=torch.float64)
    alpha[:, :, 3:9, 4:10] = 0.6 + 0.3 * noise(4, 2, 1, 6, 6).double()
    cut = Foregrounds(images, alpha, torch.zeros(2, dtype=torch.int64), hull_of(2, torch.float64))
    x, y = noise(7, 2, 20).double() - 0.5, noise(8, 2, 20).double() - 0.5
    stages = {
        "finish": lambda p: family.finish(images, p, seeds),
        "prepare": lambda p: family.prepare(cut, p, seeds).images,
        "shade": lambda p: family.shade(images, alpha, p),
    }
    checked = 0
    for stage, of in stages.items():
        if family.kind == "view":  # the nearest view is drawn, with its neighbours' gradient: see test_view.py
            continue
        if family.has(stage):  # type: ignore[arg-type]
            assert torch.autograd.gradcheck(of, (pose,), atol=1e-4, fast_mode=True)
            checked += 1
    if family.has("sampling"):
        half = torch.ones(2, 2, dtype=torch.float64)

        def there_and_back(p: Tensor) -> tuple[Tensor, ...]:
            where = family.sampling(p, cut.hull, half)
            assert where is not None
            return *where.at(x, y), where.inverse(torch.stack([x, y], dim=-1))

        assert torch.autograd.gradcheck(there_and_back, (pose,), atol=1e-4, fast_mode=True)
        checked += 1
    assert checked


@every_family
def test_every_number_of_a_composite_has_a_gradient(way: str) -> None:
    chain = chained(way)
    joint = chain.joint
    raw = (noise(2, 1, joint.size) - 0.5).requires_grad_()
    pose, render = joint.from_raw(raw), renderer(chain, EdgeConfig())
    images, _ = render.paste(noise(5, 1, 3, *SIZE_PX), cut_out(3)[0], pose[:, : chain.size], torch.tensor([7]))
    images = render.finish(images, pose[:, chain.size :], torch.tensor([7]))
    (images * noise(6, 1, 3, *SIZE_PX)).sum().backward()  # type: ignore[no-untyped-call]
    assert raw.grad is not None
    free = torch.tensor([low < high for low, high in joint.ranges])
    assert (raw.grad[0, free].abs() > 0).all()
    assert raw.grad.isfinite().all()


@every_family
def test_torch_and_the_raster_path_draw_the_same_picture(way: str) -> None:
    for seed in range(4):
        difference, overlap = apart(chained(way), seed, bgr=seed % 2 == 1)
        assert difference <= 1
        assert overlap >= 0.98


@every_family
def test_maps_never_fold(way: str) -> None:
    family = alone(way)
    if not family.has("sampling"):
        return
    pose = poses_of(family, 24).double()
    where = family.sampling(pose, hull_of(24, torch.float64), torch.ones(24, 2, dtype=torch.float64))
    assert where is not None
    points = torch.linspace(-1, 1, 81, dtype=torch.float64)
    # Where the object comes to lie: all of the patch's own points, seen from the canvas.
    patch = (
        torch.stack([points.repeat(81), points.repeat_interleave(81)], dim=1) * hull_of(1).abs().amax(dim=1).double()
    )
    place = where.inverse(patch.expand(24, -1, -1))
    back = torch.stack(where.at(*place.unbind(-1)), dim=-1)
    torch.testing.assert_close(back, patch.expand(24, -1, -1), atol=1e-5, rtol=0)
    step = 1e-4
    (right, below), here = (
        (where.at(place[..., 0] + step, place[..., 1]), where.at(place[..., 0], place[..., 1] + step)),
        where.at(*place.unbind(-1)),
    )
    a, c = (right[0] - here[0]) / step, (right[1] - here[1]) / step
    b, d = (below[0] - here[0]) / step, (below[1] - here[1]) / step
    assert (a * d - b * c > 0).all()


@every_family
def test_the_extent_holds_the_mask(way: str) -> None:
    chain, (height, width) = chained(way), SIZE_PX
    cut, _ = cut_out(1)
    for seed in range(3):
        pose = chain.random(1, torch.Generator().manual_seed(seed))
        _, layer = renderer(chain).paste(torch.zeros(1, 3, *SIZE_PX), cut, pose)
        ys, xs = torch.nonzero(layer.alpha[0, 0] > 0.5).T
        x0, y0, x1, y1 = chain.extent(pose, cut.hull, SIZE_PX)[0].tolist()
        assert max(x0, 0) - 1 <= xs.min() <= xs.max() + 1 <= min(x1, width) + 1
        assert max(y0, 0) - 1 <= ys.min() <= ys.max() + 1 <= min(y1, height) + 1
        if x0 > 0 and y0 > 0 and x1 < width and y1 < height:
            assert len(ys) == pytest.approx(float(layer.whole_px), rel=0.1)


@every_family
def test_keypoints_follow_the_pixels(way: str) -> None:
    """A dot of the cut-out is where the pose puts its keypoint."""
    chain, (height, width) = chained(way), SIZE_PX
    cut, _ = cut_out(1)
    images, at = torch.zeros_like(cut.images), (40, 58)
    images[:, :, at[1] - 2 : at[1] + 3, at[0] - 2 : at[0] + 3] = 1
    dotted = replace(cut, images=images, views=None)
    point = np.array([[2 * (at[0] + 0.5) / 96 - 1, 2 * (at[1] + 0.5) / 96 - 1]], np.float32)
    for seed in range(3):
        pose = chain.random(1, torch.Generator().manual_seed(seed))
        neutral = chain.pose_of(1, {})
        moving = np.array([name.split(".")[1] != "photometric" for name in chain.columns])
        pose = torch.where(torch.from_numpy(moving), pose, torch.from_numpy(neutral).float())
        drawn, _ = renderer(chain).paste(torch.zeros(1, 3, *SIZE_PX), dotted, pose)
        seen = drawn[0].sum(dim=0)
        if seen.max() < 0.5:
            continue  # it lies beyond the border
        (raster,) = chain.raster(pose.double().numpy(), cut.hull.numpy(), [SIZE_PX])
        x, y = place_px(point, raster, SIZE_PX)[0].tolist()
        if not (4 <= x < width - 4 and 4 <= y < height - 4):
            continue
        ys, xs = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
        assert float((seen * xs).sum() / seen.sum()) == pytest.approx(x, abs=0.5)
        assert float((seen * ys).sum() / seen.sum()) == pytest.approx(y, abs=0.5)


class _Sources:
    class _Bank:
        keys = ("a", "a", "a")

        def class_of(self, index: int) -> str:
            return "thing"

        def licence(self, index: int) -> str:
            return ""

        def sha256(self, index: int) -> str:
            return ""

        def index(self, key: str, sha256: str | None, where: str) -> int:
            return 0

    foregrounds = backgrounds = _Bank()


@every_family
def test_a_placement_draws_the_same_bits_alone_in_a_batch_and_from_a_table(way: str) -> None:
    chain, generator = chained(way), torch.Generator().manual_seed(3)
    none = np.zeros(3, np.int64)
    placements = replace(
        Placements.single(none, none, chain.random(3, generator).double().numpy()), seed=np.array([5, 6, 7])
    )
    if chain.image is not None:
        image_pose = chain.image.random(3, generator).double().numpy().round(5)
        placements = replace(placements, image_pose=image_pose)
    render = renderer(chain, EdgeConfig())
    together = render(placements).images
    read = from_table(to_table(placements, chain, _Sources(), {}), chain, _Sources(), "here")
    for k in range(3):
        assert torch.equal(render(read.take(np.array([k]))).images[0], together[k])


@every_family
def test_windows_change_no_bit(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large canvases are drawn in the part that a paste touches."""
    chain, below = chained(way), noise(5, 2, 3, *SIZE_PX)
    cut = cut_out(3)[0]
    two = cut.take(np.zeros(2, np.int64))
    pose, seeds = chain.random(2, torch.Generator().manual_seed(4)), torch.tensor([1, 2])
    windowed = renderer(chain, EdgeConfig()).paste(below, two, pose, seeds)[0]
    monkeypatch.setattr(sys.modules["terse.compositing.compose"], "_SMALL_PX", 10**9)
    whole = renderer(chain, EdgeConfig()).paste(below, two, pose, seeds)[0]
    assert torch.equal(windowed, whole)


def test_the_suite_holds_every_family() -> None:
    assert {case.split("kind: ")[1].split(",")[0].rstrip("}") for case in CASES} == set(OWN)
