"""The raster path draws what `compose` draws, to a 255th on average, measured over the pasted region."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.compositing import compose, support_points, warp
from terse.compositing.raster import Sprite, draw, draw_mask
from terse.errors import DataError, ShapeError
from terse.poses import AffinePoses
from terse.recipe_parts import BLENDS, EdgeConfig

POSES = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.1, 1.2), stretch=(0.8, 1.25), min_visible=0.3)
BEYOND = 8  # px; a rim outside of the canvas is blurred into it
# OpenCV 4 rounds where it samples to 1/32 px: 3.6 in 1,200 cases. What is left of OpenCV 5 is the rounding to bytes.
MOST = 0.6 if int(cv2.__version__.split(".")[0]) >= 5 else 4.0
EDGES = (EdgeConfig(), EdgeConfig(blur_sigma_px=0.0), None)


def photo(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    noise = cv2.GaussianBlur(random.normal(0, 1, (height, width, 3)), (0, 0), 3)
    return np.clip(128 + 60 * noise / noise.std(), 0, 255).astype(np.uint8)


def cut_out(random: np.random.Generator, side: int, *, soft: bool = False) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, 13)[:-1]
    radii = random.uniform(0.4, 0.98, 12) * side / 2
    points = np.stack([np.cos(angles) * radii, np.sin(angles) * radii], axis=1) + side / 2
    alpha = np.zeros((side, side), np.uint8)
    cv2.fillPoly(alpha, [points.astype(np.int32)], 255, lineType=cv2.LINE_AA if soft else 8)
    return np.dstack([photo(random, side, side), alpha])


def matrix_of(rgba: np.ndarray, size_px: tuple[int, int], pose: torch.Tensor) -> torch.Tensor:
    hull = support_points(torch.from_numpy(rgba[None, None, ..., 3]).float() / 255)
    return POSES.matrix(pose, hull, size_px)


def drawn_by_torch(
    canvas: np.ndarray, rgba: np.ndarray, matrix: torch.Tensor, edges: EdgeConfig | None
) -> tuple[np.ndarray, np.ndarray]:
    def planes(pixels: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255

    settings = {"binarise": edges.binarise, "blur_sigma_px": edges.blur_sigma_px} if edges else {}
    pasted = compose(planes(canvas), planes(rgba[..., :3]), planes(rgba[..., 3:]), matrix, **settings)  # type: ignore[arg-type]
    return pasted.images[0].permute(1, 2, 0).numpy() * 255, pasted.alpha[0, 0].numpy()


def rim_of(rgba: np.ndarray, matrix: torch.Tensor, size_px: tuple[int, int]) -> np.ndarray:
    """Where the warped mask is neither empty nor full, and the pixels beside; BEYOND px more of it on each side."""
    height, width = size_px
    wide = matrix * torch.tensor([1 + 2 * BEYOND / width, 1 + 2 * BEYOND / height, 1.0])
    alpha = torch.from_numpy(rgba[None, None, ..., 3]).float() / 255
    warped = warp(alpha, wide, (height + 2 * BEYOND, width + 2 * BEYOND))[0, 0].numpy()
    return cv2.dilate(((warped > 0) & (warped < 1 - 1e-4)).astype(np.uint8), np.ones((3, 3)))


def cut(rim: np.ndarray) -> np.ndarray:
    """The canvas without what lies beyond it."""
    return rim[BEYOND:-BEYOND, BEYOND:-BEYOND]


def filled(drawn: object, size_px: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size_px, bool)
    height, width = drawn.mask.shape  # type: ignore[attr-defined]
    mask[drawn.top : drawn.top + height, drawn.left : drawn.left + width] = drawn.mask > 0  # type: ignore[attr-defined]
    return mask


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    side=st.integers(20, 300),
    size_px=st.sampled_from([(120, 160), (200, 150), (150, 150)]),
    edges=st.sampled_from(EDGES),
    soft=st.booleans(),
)
def test_raster_and_torch_agree(
    seed: int, side: int, size_px: tuple[int, int], edges: EdgeConfig | None, soft: bool
) -> None:
    random = np.random.default_rng(seed)
    rgba, canvas = cut_out(random, side, soft=soft), photo(random, *size_px)
    matrix = matrix_of(rgba, size_px, POSES.random(1, torch.Generator().manual_seed(seed)))
    expected, alpha = drawn_by_torch(canvas, rgba, matrix, edges)
    image = canvas.copy()
    drawn = draw(image, Sprite.of(rgba), matrix[0].numpy(), edges=edges)
    region = alpha > 0
    # A pixel that changes sides is spread by the blur: 3 px at sigma 1.
    reach = 7 if edges and edges.blur_sigma_px else 1
    rim = rim_of(rgba, matrix, size_px)
    blurred_rim = cut(cv2.dilate(rim, np.ones((reach, reach))))
    difference = np.abs(image - expected)
    inside, mask = filled(drawn, size_px), alpha >= 0.5
    if mask.sum() > 32 * 32:
        assert difference[region].mean() <= 1
        assert (inside & mask).sum() / (inside | mask).sum() >= 0.98
    assert difference[blurred_rim == 0].max(initial=0) <= MOST
    assert not (inside ^ mask)[cut(rim) == 0].any()


def test_outside_the_object_the_canvas_keeps_its_bits() -> None:
    random = np.random.default_rng(0)
    rgba, canvas = cut_out(random, 80), photo(random, 150, 200)
    matrix = matrix_of(rgba, (150, 200), torch.tensor([[20.0, 0.2, 0.1, 0.1, 0.5, 1.0]]))
    for blend in BLENDS:
        image = canvas.copy()
        drawn = draw(image, Sprite.of(rgba), matrix[0].numpy(), edges=EdgeConfig(), blend=blend)
        near = cv2.dilate(filled(drawn, (150, 200)).astype(np.uint8), np.ones((13, 13))) > 0
        assert (image[~near] == canvas[~near]).all(), blend
        assert (image[filled(drawn, (150, 200))] != canvas[filled(drawn, (150, 200))]).mean() > 0.5, blend


def test_labels_are_the_same_in_all_blends() -> None:
    random = np.random.default_rng(1)
    rgba, canvas = cut_out(random, 90), photo(random, 150, 200)
    matrix = matrix_of(rgba, (150, 200), torch.tensor([[-40.0, 0.9, -0.8, 0.0, 0.6, 1.1]]))[0].numpy()
    masks = [draw(canvas.copy(), Sprite.of(rgba), matrix, edges=EdgeConfig(), blend=blend) for blend in BLENDS]
    masks.append(draw_mask(Sprite.of(rgba), matrix, (150, 200), EdgeConfig()))
    first = masks[0]
    assert first.mask.any()
    for other in masks[1:]:
        assert (other.left, other.top, other.whole_px) == (first.left, first.top, first.whole_px)
        assert (other.mask == first.mask).all()


def test_a_clone_of_the_background_onto_itself_changes_nothing() -> None:
    """Shows a clone that is shifted by a pixel, anywhere, the borders included."""
    random = np.random.default_rng(2)
    canvas = photo(random, 120, 120)
    alpha = np.zeros((120, 120), np.uint8)
    for centre in ((60, 60), (5, 40), (119, 119), (0, 0), (61, 118)):
        alpha[:] = 0
        cv2.circle(alpha, centre, 31, 255, -1)
        image = canvas.copy()
        identity = np.array([[1.0, 0, 0], [0, 1, 0]])
        draw(image, Sprite.of(np.dstack([canvas, alpha])), identity, edges=EdgeConfig(), blend="poisson")
        assert np.abs(image.astype(int) - canvas).max() <= 2, centre


@pytest.mark.parametrize("look", ["photograph", "one colour"])
@pytest.mark.parametrize("size_px", [(60, 40), (24, 13), (40, 6)])
def test_a_clone_shows_the_object_up_to_its_rim(look: str, size_px: tuple[int, int]) -> None:
    """`seamlessClone` takes three pixels off a mask, which is all of a thin object; of one colour there is no gradient."""
    random = np.random.default_rng(3)
    ramp = np.linspace(60, 200, 80, dtype=np.uint8)
    canvas = np.repeat(np.tile(ramp, (80, 1))[..., None], 3, axis=2)
    colour = (
        random.integers(0, 256, (80, 80, 3), np.uint8) if look == "photograph" else np.full((80, 80, 3), 90, np.uint8)
    )
    alpha = np.zeros((80, 80), np.uint8)
    cv2.ellipse(alpha, (40, 40), (size_px[0] // 2, size_px[1] // 2), 20, 0, 360, 255, -1)
    image = canvas.copy()
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    drawn = draw(image, Sprite.of(np.dstack([colour, alpha])), identity, edges=None, blend="poisson")
    window = slice(drawn.top, drawn.top + drawn.mask.shape[0]), slice(drawn.left, drawn.left + drawn.mask.shape[1])
    mask = drawn.mask > 0
    changed = np.abs(image.astype(int) - canvas).max(axis=2)[window] > 4
    assert changed[mask].mean() > 0.75
    rim = mask & (cv2.erode(drawn.mask, np.ones((3, 3)), iterations=3, borderValue=0) == 0)
    assert changed[rim].mean() > 0.6


def test_what_the_border_cuts_off_still_counts_as_the_whole_object() -> None:
    rgba = np.full((40, 40, 4), 255, np.uint8)
    canvas = np.zeros((100, 100, 3), np.uint8)
    quarter = np.array([[2.5, 0, 1.5], [0, 2.5, 0]])  # a 40 px patch whose centre is 30 px left of the middle
    cut = np.array([[2.5, 0, 2.5], [0, 2.5, 0]])  # its centre on the left border
    whole = draw(canvas.copy(), Sprite.of(rgba), quarter, edges=None)
    half = draw(canvas.copy(), Sprite.of(rgba), cut, edges=None)
    assert (whole.left, whole.top, whole.mask.shape, whole.whole_px) == (0, 30, (40, 40), 1600)
    assert (half.left, half.top, half.mask.shape, half.whole_px) == (0, 30, (40, 20), 1600)


def test_nothing_is_drawn_of_an_empty_mask_or_far_outside() -> None:
    canvas = np.full((50, 60, 3), 7, np.uint8)
    empty = Sprite.of(np.zeros((10, 10, 4), np.uint8))
    assert draw(canvas, empty, np.array([[1.0, 0, 0], [0, 1, 0]]), edges=None).mask.size == 0
    full = Sprite.of(np.full((10, 10, 4), 255, np.uint8))
    assert draw(canvas, full, np.array([[1.0, 0, 50], [0, 1, 0]]), edges=None).mask.size == 0
    assert (canvas == 7).all()


def test_colour_below_a_transparent_alpha_does_not_bleed_in() -> None:
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[..., 1] = 255  # green everywhere, to be seen nowhere
    rgba[16:48, 16:48] = (200, 0, 0, 255)
    matrix = np.array([[1.7, 0.4, 0.03], [-0.4, 1.7, 0.07]])
    for blend in BLENDS:
        canvas = np.zeros((100, 100, 3), np.uint8)
        draw(canvas, Sprite.of(rgba), matrix, edges=EdgeConfig(), blend=blend)
        assert canvas[..., 1].max() <= 1, blend
        assert blend == "poisson" or canvas[..., 0].max() >= 150, blend  # which keeps gradients, not colours


@pytest.mark.parametrize("blend", BLENDS)
def test_the_same_seed_draws_the_same_pixels(blend: str) -> None:
    random = np.random.default_rng(3)
    rgba, canvas = cut_out(random, 60), photo(random, 90, 90)
    matrix = matrix_of(rgba, (90, 90), torch.tensor([[10.0, 0.0, 0.0, 0.0, 0.5, 1.0]]))[0].numpy()
    pictures = []
    for seed in (4, 4, 5):
        image = canvas.copy()
        draw(image, Sprite.of(rgba), matrix, edges=EdgeConfig(), blend=blend, seed=seed)
        pictures.append(image)
    assert (pictures[0] == pictures[1]).all()
    assert (pictures[0] == pictures[2]).all() == (blend != "motion")


def test_errors_are_sentences(unchecked: None) -> None:
    with pytest.raises(ShapeError) as shape:
        Sprite.of(np.zeros((4, 4, 3), np.uint8))
    assert str(shape.value) == "cut-out: expected uint8 (height, width, 4), got uint8 (4, 4, 3)"
    sprite = Sprite.of(np.full((8, 8, 4), 255, np.uint8))
    with pytest.raises(DataError) as blend:
        draw(np.zeros((9, 9, 3), np.uint8), sprite, np.array([[1.0, 0, 0], [0, 1, 0]]), edges=None, blend="glue")
    assert str(blend.value) == "blend: expected one of alpha, gaussian, box, motion, none, poisson, got 'glue'"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), side=st.integers(8, 140), edges=st.sampled_from(EDGES), soft=st.booleans())
def test_a_mask_alone_is_the_one_that_is_drawn(seed: int, side: int, edges: EdgeConfig | None, soft: bool) -> None:
    """Bit for bit, though it is warped without the colours."""
    random, size_px = np.random.default_rng(seed), (90, 120)
    rgba = cut_out(random, side, soft=soft)
    where = matrix_of(rgba, size_px, POSES.random(1, torch.Generator().manual_seed(seed)))[0].numpy()
    drawn = draw(photo(random, *size_px), Sprite.of(rgba), where, edges=edges)
    alone = draw_mask(Sprite.of(rgba), where, size_px, edges)
    assert (alone.left, alone.top, alone.whole_px) == (drawn.left, drawn.top, drawn.whole_px)
    assert np.array_equal(alone.mask, drawn.mask)
