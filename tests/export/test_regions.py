"""Run lengths and outlines, drawn again by pycocotools: the same mask, pixel for pixel."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco

from terse.compositing.raster import Drawn
from terse.export import mask_formats
from terse.export.mask_formats import one_outline, outlines, run_lengths, runs_of_box, runs_of_region

# pycocotools speaks to numpy 2 in the words of numpy 1.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def some_mask(seed: int, height: int, width: int, kind: str) -> np.ndarray:
    random = np.random.default_rng(seed)
    noise = random.random((height, width))
    if kind == "noise":
        return (noise < 0.5).astype(np.uint8) * 255
    if kind == "blobs":
        return (cv2.GaussianBlur(noise, (0, 0), 2) > 0.5).astype(np.uint8) * 255
    ring = np.zeros((height, width), np.uint8)
    cv2.ellipse(ring, (width // 2, height // 2), (width // 3 + 1, height // 3 + 1), 30, 0, 360, 255, -1)
    cv2.circle(ring, (width // 2, height // 2), min(width, height) // 6, 0, -1)
    return ring


def region_of(mask: np.ndarray) -> Drawn:
    x, y, width, height = cv2.boundingRect(mask)
    return Drawn(x, y, np.ascontiguousarray(mask[y : y + height, x : x + width]), int((mask > 0).sum()))


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    kind=st.sampled_from(["noise", "blobs", "ring"]),
)
def test_masks_come_back_exactly(seed: int, height: int, width: int, kind: str) -> None:
    mask = some_mask(seed, height, width, kind)
    region = region_of(mask)
    runs = runs_of_region(region, (width, height))
    assert runs["counts"] == coco.encode(np.asfortranarray(mask // 255))["counts"].decode()
    rings = outlines(region)
    if not mask.any():
        assert rings == []
        return
    for parts in (rings, [one_outline(rings)]):
        again = coco.merge(coco.frPyObjects([ring.reshape(-1).astype(float).tolist() for ring in parts], height, width))
        assert (coco.decode(again) == mask // 255).all()


def test_runs_by_hand() -> None:
    # 3 high, 2 wide; the middle and last of column 0 and the first of column 1: one run across the columns.
    region = Drawn(0, 0, np.array([[0, 255], [255, 0], [255, 0]], np.uint8), 3)
    assert run_lengths(region, (2, 3)) == [1, 3, 2]
    assert run_lengths(Drawn(0, 0, np.zeros((0, 0), np.uint8), 0), (2, 3)) == [6]
    assert run_lengths(Drawn(1, 2, np.full((1, 1), 255, np.uint8), 1), (2, 3)) == [5, 1]


def test_an_outline_runs_along_pixel_edges() -> None:
    (ring,) = outlines(Drawn(3, 5, np.full((2, 4), 255, np.uint8), 8))
    assert {tuple(point) for point in ring.tolist()} == {(3, 5), (7, 5), (7, 7), (3, 7)}
    assert len(ring) == 4


@pytest.mark.parametrize("box", [(1.0, 2.0, 4.0, 3.0), (0.0, 0.0, 5.0, 4.0)])
def test_runs_of_a_box_fill_it(box: tuple[float, float, float, float]) -> None:
    mask = coco.decode(runs_of_box(box, (5, 4)))
    expected = np.zeros((4, 5), np.uint8)
    expected[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = 1
    assert (mask == expected).all()


def test_outlines_of_many_points_are_joined_without_a_table_of_all_pairs() -> None:
    angle = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    rings = [np.rint(1e6 * ring).astype(np.int64), np.rint(1e6 * ring + (3e6, 0)).astype(np.int64)]
    tracemalloc.start()
    joined = one_outline(rings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    slit = [joined[0].tolist(), joined[1].tolist()]
    assert slit == [[1_000_000, 0], [2_000_000, 0]]
    assert len(joined) == 8002
    assert peak < 60 << 20  # the table is 16 million pairs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 30), st.integers(1, 40))
def test_the_nearest_pair_is_the_first_of_all(seed: int, here: int, there: int, together: int) -> None:
    random = np.random.default_rng(seed)
    ring, other = random.integers(0, 9, (here, 2)), random.integers(0, 9, (there, 2))
    distance = np.abs(ring[:, None] - other[None]).sum(axis=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mask_formats, "_COMPARED", together)
        assert mask_formats._nearest(ring, other) == np.unravel_index(int(distance.argmin()), distance.shape)
