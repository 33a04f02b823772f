"""Chains: families written here, of one file's worth each, go through compose and raster alike."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from drawn import PHOTO_POSES, noise
from posed import Scenes, apart, cut_out, renderer
from terse.compositing import compose
from terse.compositing.raster import Sprite
from terse.errors import RecipeError
from terse.generate.draw import Drawing, draw_images
from terse.generate.settings import GenerateSettings
from terse.placements import Placements
from terse.poses import AffinePoses, Chain, PoseFamily, build_poses
from terse.poses.maps import AffineMap, SamplingMap
from terse.recipe import Recipe, dump_recipe, load_recipe
from terse.recipe_parts import EdgeConfig
from terse.registry import kinds
from terse.types import Foregrounds
from terse.validation import validate
from terse.yaml_text import read_yaml

PHOTOGRAPHS = AffinePoses((-45.0, 45.0), (-1.0, 1.0), (-0.2, 0.2), (0.3, 0.9), stretch=(0.8, 1.25), min_visible=0.7)


class Tilted(SamplingMap):
    """A plane seen from the side; the inverse is left to the base class."""

    def at(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        spread = (-1, *[1] * (max(x.ndim, y.ndim) - 1))
        tilt_x, tilt_y = (part.view(spread) for part in self.parameters[0].unbind(-1))
        far = 1 + tilt_x * x + tilt_y * y
        return x / far, y / far


class Tilt(PoseFamily):
    kind = "tilt"
    names = ("x", "y")
    ranges = ((-0.3, 0.3), (-0.3, 0.3))
    neutral = (0.0, 0.0)

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap:
        return Tilted(pose)


class Slide(PoseFamily):
    kind = "slide"
    names = ("x", "y")
    ranges = ((-0.2, 0.2), (-0.2, 0.2))
    neutral = (0.0, 0.0)

    def sampling(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> SamplingMap:
        still = torch.eye(2, dtype=pose.dtype).expand(len(pose), 2, 2)
        return AffineMap(torch.cat([still, -pose[..., None]], dim=2))


class Light(PoseFamily):
    kind = "light"
    names = ("red", "green", "blue")
    ranges = ((0.5, 1.0),) * 3
    neutral = (1.0,) * 3

    def __init__(self, on: str = "paste") -> None:
        self.on = "image" if on == "image" else "paste"

    def prepare(self, cut: Foregrounds, pose: Float[Tensor, "b k"], seeds: Tensor) -> Foregrounds:
        return Foregrounds(cut.images * pose[..., None, None], cut.alpha, cut.labels, cut.hull)

    def finish(self, images: Tensor, pose: Float[Tensor, "b k"], seeds: Tensor) -> Tensor:
        return images * pose[..., None, None]


class Shadow(PoseFamily):
    kind = "shadow"
    names = ("dark",)
    ranges = ((0.0, 0.8),)
    neutral = (0.0,)

    def shade(self, below: Tensor, alpha: Tensor, pose: Float[Tensor, "b k"]) -> Tensor:
        return below * (1 - pose[..., None, None] * alpha.roll((6, 9), dims=(2, 3)))


CHAINS = {
    "slide": [Slide(), PHOTOGRAPHS],
    "tilt": [Tilt(), PHOTOGRAPHS],
    "tilt last": [PHOTOGRAPHS, Tilt()],
    "colours": [Light(), PHOTOGRAPHS],
    "everything": [Light(), Tilt(), PHOTOGRAPHS, Slide(), Shadow(), Light("image")],
}


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("bgr", [False, True])
def test_compose_and_raster_draw_the_same_picture(name: str, bgr: bool) -> None:
    for seed in range(6):
        difference, overlap = apart(Chain(CHAINS[name]), seed, bgr=bgr)
        assert difference <= 1
        assert overlap >= 0.98


@pytest.mark.parametrize("name", CHAINS)
def test_extent_holds_the_mask_and_whole_counts_it(name: str) -> None:
    chain, size_px = Chain(CHAINS[name]), (200, 260)
    cut, _ = cut_out(1)
    for seed in range(4):
        pose = chain.random(1, torch.Generator().manual_seed(seed))
        render = renderer(chain)
        _, layer = render.paste(torch.zeros(1, 3, *size_px), cut, pose)
        ys, xs = torch.nonzero(layer.alpha[0, 0] > 0.5).T
        x0, y0, x1, y1 = chain.extent(pose, cut.hull, size_px)[0].tolist()
        assert max(x0, 0) - 1 <= xs.min() <= xs.max() + 1 <= min(x1, 260) + 1
        assert max(y0, 0) - 1 <= ys.min() <= ys.max() + 1 <= min(y1, 200) + 1
        if x0 > 0 and y0 > 0 and x1 < 260 and y1 < 200:
            assert len(ys) == pytest.approx(float(layer.whole_px), rel=0.1)


def test_a_chain_of_one_is_that_family_bit_for_bit() -> None:
    cut, _ = cut_out(3)
    chain, pose = Chain([PHOTO_POSES]), PHOTO_POSES.random(1, torch.Generator().manual_seed(2))
    assert torch.equal(chain.random(1, torch.Generator().manual_seed(2)), pose)
    raw = noise(4, 5, 6)
    assert torch.equal(chain.from_raw(raw), PHOTO_POSES.from_raw(raw))
    below = noise(5, 1, 3, 150, 200)
    alone = compose(below, cut.images, cut.alpha, PHOTO_POSES.matrix(pose, cut.hull, (150, 200)))
    posed = chain.apply(cut, pose, (150, 200))
    assert torch.equal(compose(below, posed.cut.images, posed.cut.alpha, posed.where).images, alone.images)
    assert chain.names == PHOTO_POSES.names
    assert chain.columns == PHOTO_POSES.columns
    assert chain.columns[0] == "0.affine.rotation_deg"


def test_columns_name_position_kind_and_number() -> None:
    chain = Chain(CHAINS["everything"])
    assert chain.columns[:5] == ("0.light.red", "0.light.green", "0.light.blue", "1.tilt.x", "1.tilt.y")
    assert chain.columns[-1] == "4.shadow.dark"
    assert chain.image is not None
    assert chain.image.columns == ("5.light.red", "5.light.green", "5.light.blue")
    assert chain.size == len(chain.columns) == len(chain.ranges) == len(chain.neutral)
    assert chain.min_visible == PHOTOGRAPHS.min_visible


def test_neutral_values_change_nothing() -> None:
    chain = Chain([Light(), Tilt(), PHOTOGRAPHS, Slide(), Shadow()])
    cut, _ = cut_out(3)
    below = noise(5, 1, 3, 150, 200)
    values = chain.pose_of(1, {"scale": np.array([0.5])})
    render = renderer(chain, EdgeConfig())
    images, _ = render.paste(below, cut, torch.from_numpy(values).float())
    plain = renderer(PHOTOGRAPHS, EdgeConfig())
    pose = PHOTOGRAPHS.pose_of(1, {"scale": np.array([0.5])})
    expected, _ = plain.paste(below, cut, torch.from_numpy(pose).float())
    assert (images - expected).abs().max() < 1e-4


def test_the_gradient_reaches_every_family() -> None:
    chain = Chain(CHAINS["everything"])
    cut, _ = cut_out(3)
    raw = torch.zeros(1, chain.size, requires_grad=True)
    render = renderer(chain)
    images, _ = render.paste(noise(5, 1, 3, 150, 200), cut, chain.from_raw(raw))
    (images * noise(6, 1, 3, 150, 200)).sum().backward()
    assert raw.grad is not None
    assert (raw.grad.abs() > 0).all()


def test_the_inverse_carries_the_exact_gradient() -> None:
    tilt = torch.tensor([[0.2, -0.1]], dtype=torch.float64, requires_grad=True)
    points = torch.tensor([[[0.3, -0.5], [-0.7, 0.4]]], dtype=torch.float64)
    assert torch.allclose(torch.stack(Tilted(tilt).at(*Tilted(tilt).inverse(points).unbind(-1)), dim=-1), points)
    assert torch.autograd.gradcheck(lambda t: Tilted(t).inverse(points), (tilt,))


def test_moving_goes_to_the_family_that_moves() -> None:
    chain = Chain(CHAINS["tilt"])
    pose = chain.pose_of(1, {})
    moved = chain.moved_to(pose, np.array([[40.0, 40.0]]), np.array([[60.0, 70.0]]), np.array([[200, 200]]))
    assert np.flatnonzero((moved != pose)[0]).tolist() == [3, 4]
    place = chain.position(moved)
    assert place is not None
    assert ((place >= 0) & (place <= 1)).all()
    size = chain.relative_size(pose)
    assert size is not None
    assert size[1:] == (0.3, 0.9)
    assert chain.limits_of("scale") == (0.3, 0.9)
    assert chain.limits_of("hue") is None


def test_the_whole_picture_is_changed_after_the_pastes() -> None:
    chain = Chain([Light("image"), PHOTOGRAPHS])
    assert chain.image is not None
    assert chain.columns[0] == "1.affine.rotation_deg"
    one, pose = np.zeros(1, np.int64), chain.random(1, torch.Generator().manual_seed(0)).double().numpy()
    plain = Placements.single(one, one, pose)
    dark = replace(plain, image_pose=np.array([[0.5, 1.0, 1.0]]))
    for blend in ("alpha", "gaussian"):
        before = renderer(chain)(replace(plain, blend=(blend,))).images
        after = renderer(chain)(replace(dark, blend=(blend,))).images
        assert torch.equal(after[:, 0], before[:, 0] * 0.5)
        assert torch.equal(after[:, 1:], before[:, 1:])


def test_a_recipe_without_a_placing_family_is_refused_in_a_sentence() -> None:
    with pytest.raises(RecipeError) as error:
        Chain([Light(), Shadow()])
    assert str(error.value) == ("poses: expected a family that places foregrounds, got light, shadow; add kind: affine")
    with pytest.raises(RecipeError) as none:
        Chain([])
    assert str(none.value) == "poses: expected a family that places foregrounds, got none; add kind: affine"
    with pytest.raises(RecipeError):
        build_poses([])


LIST = "poses=[{kind: affine, scale: [0.3, 0.5]}, affine]"


def test_a_recipe_lists_families_and_one_mapping_stays_one() -> None:
    one, two = load_recipe("detector"), load_recipe("detector", [LIST])
    assert isinstance(build_poses(one.poses), AffinePoses)
    chain = build_poses(two.poses)
    assert isinstance(chain, Chain)
    assert [column.rpartition(".")[0] for column in chain.columns] == ["0.affine"] * 6 + ["1.affine"] * 6
    again = validate(Recipe, read_yaml(dump_recipe(two), "again"), None)
    assert again == two


@pytest.mark.parametrize(
    ("poses", "message"),
    [
        ("[{kind: affine, scale: [0, 1]}]", "poses.0.scale.0: expected a number > 0, got 0"),
        (
            "[affine, {kind: affine, scal: 1}]",
            "poses.1.scal: expected a known setting, got 'scal'; did you mean 'scale'?",
        ),
        ("[affine, {kind: affin}]", "poses: 1: expected one of KINDS, got 'affin'; did you mean 'affine'?"),
        ("[3]", "poses: 0: expected a mapping with a kind, got 3"),
    ],
)
def test_what_is_refused_in_a_list_is_named_by_its_number(poses: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("detector", [f"poses={poses}"])
    assert str(error.value) == message.replace("KINDS", ", ".join(kinds("pose")))


def test_generate_draws_what_training_sees() -> None:
    """Colours of pastes and of the whole picture, from the same placement: generate's canvases are BGR."""
    chain = Chain([Light(), Tilt(), PHOTOGRAPHS, Light("image")])
    assert chain.image is not None
    one, generator = np.zeros(1, np.int64), torch.Generator().manual_seed(1)
    pose = chain.random(1, generator).double().numpy()
    image_pose = chain.image.random(1, generator).double().numpy()
    size_px = np.array([[200, 150]])
    placements = replace(Placements.single(one, one, pose), size_px=size_px, image_pose=image_pose)
    cut, rgba = cut_out(0)
    below = Scenes().fetch(one).images[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    material = SimpleNamespace(
        keypoints=lambda _: None,
        square=False,
        foregrounds=SimpleNamespace(keys=("a",), grey=False),
        backgrounds=SimpleNamespace(grey=False),
        label_of=lambda number: 0,
        hull=lambda number: cut.hull[0].numpy(),
        image=lambda number, size_px: np.ascontiguousarray(below[..., ::-1]),
        sprite=lambda number: Sprite.of(np.ascontiguousarray(rgba[..., [2, 1, 0, 3]])),
        objects=lambda number, size_px: (),
    )
    drawing = Drawing(material, chain, EdgeConfig(), GenerateSettings(count=1))  # type: ignore[arg-type]
    ((canvas, _),) = draw_images(drawing, placements)
    expected = renderer(chain, EdgeConfig())(placements).images[0].mul(255).permute(1, 2, 0).numpy()
    assert np.abs(canvas[..., ::-1] - expected).mean() <= 1
