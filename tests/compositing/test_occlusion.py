"""Modal masks by hand: three squares over each other."""

import numpy as np

from terse.compositing.occlusion import covered, shared_px, visible_regions
from terse.compositing.raster import Drawn


def square(left: int, top: int, side: int) -> Drawn:
    return Drawn(left, top, np.full((side, side), 255, np.uint8), side * side)


def test_later_regions_hide_earlier_ones() -> None:
    lowest, middle, top = square(0, 0, 4), square(2, 0, 4), square(2, 2, 4)
    seen = visible_regions([lowest, middle, top])
    assert (seen[0].left, seen[0].top, seen[0].mask.shape) == (0, 0, (4, 2))
    assert (seen[0].mask == 255).all()
    assert (seen[1].left, seen[1].top, seen[1].mask.shape) == (2, 0, (2, 4))
    assert seen[2] is top
    assert [region.whole_px for region in seen] == [16, 16, 16]
    assert (lowest.mask == 255).all()  # the amodal one is left as it was


def test_a_region_wholly_hidden_is_empty() -> None:
    assert covered(square(1, 1, 2), [square(0, 0, 4)]).mask.size == 0


def test_touching_regions_hide_nothing() -> None:
    left = square(0, 0, 3)
    assert covered(left, [square(3, 0, 3), square(0, 3, 3)]) is left


def test_a_region_whose_window_alone_is_met_is_itself() -> None:
    corner = square(0, 0, 4)
    corner.mask[1:, :] = corner.mask[:, :3] = 0  # its window is met, at none of its pixels
    assert covered(corner, [square(0, 2, 2)]) is corner


def test_a_hole_in_the_region_above_shows_what_is_below() -> None:
    ring = square(0, 0, 5)
    ring.mask[2, 2] = 0
    seen = covered(square(0, 0, 5), [ring])
    assert (seen.left, seen.top, seen.mask.shape) == (2, 2, (1, 1))


def test_shared_pixels_are_those_that_covering_takes() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        one, other = (
            Drawn(*random.integers(0, 8, 2).tolist(), ((random.random((6, 9)) > 0.5) * 255).astype(np.uint8), 54)
            for _ in range(2)
        )
        assert shared_px(one, other) == one.seen_px - covered(one, [other]).seen_px
