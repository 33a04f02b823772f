"""Cut-outs on their patches, by hand and in general."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.sources.masks import box_of
from terse.sources.patches import cut_patch, resize, window_of


def test_boxes_of_masks():
    mask = np.zeros((5, 7), dtype=np.uint8)
    assert box_of(mask) is None
    mask[1, 2] = mask[3, 6] = 1
    assert box_of(mask) == (2, 1, 7, 4)


def test_windows_hold_every_pixel_that_a_box_touches():
    assert window_of((1.2, 2.9, 3.0, 4.1), (10, 10)) == (1, 2, 3, 5)
    assert window_of((-4.0, -1.0, 30.0, 12.0), (10, 8)) == (0, 0, 10, 8)


def test_a_patch_of_the_same_size_is_the_object_itself():
    colours = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    alpha = np.array([[0, 255, 255, 0], [255] * 4, [255] * 4, [255, 0, 0, 255]], dtype=np.uint8)
    patch = cut_patch(colours, alpha, 4)
    assert np.array_equal(patch[..., 3], alpha)
    assert np.array_equal(patch[..., :3], np.where(alpha[..., None] > 0, colours, 0))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(4, 50),
    st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    st.booleans(),
    st.integers(0, 9),
)
def test_any_object_fills_its_patch_keeps_its_colours_and_is_never_lost(width, height, side, stretch, soft, seed):
    rng = np.random.default_rng(seed)
    alpha = (rng.random((height, width)) < 0.7).astype(np.uint8) * np.uint8(255)
    alpha[rng.integers(height), rng.integers(width)] = 255
    if soft:
        alpha = np.where(alpha > 0, rng.integers(1, 256, alpha.shape), 0).astype(np.uint8)
    colours = rng.integers(90, 120, (height, width, 3)).astype(np.uint8)
    patch = cut_patch(colours, alpha, side, stretch)
    assert patch.shape == (side, side, 4)
    inside = patch[..., 3] > 0
    if not soft:
        assert inside.any()
        assert set(np.unique(patch[..., 3])) <= {0, 255}
    assert not patch[~inside].any()
    assert patch[inside][:, :3].size == 0 or 89 <= patch[inside][:, :3].min() <= patch[inside][:, :3].max() <= 120
    box = box_of(cut_patch(colours, np.full_like(alpha, 255), side, stretch)[..., 3])
    wide, high = box[2] - box[0], box[3] - box[1]
    assert max(wide, high) == side
    assert abs(box[0] + box[2] - side) <= 1
    assert abs(box[1] + box[3] - side) <= 1
    shorter, longer = sorted((width * stretch[0], height * stretch[1]))
    assert abs(min(wide, high) - max(1, shorter * side / longer)) < 0.501


def test_shrinking_averages_and_growing_interpolates():
    board = np.indices((8, 8)).sum(axis=0).astype(np.uint8) % 2 * 200
    assert (resize(board.astype(np.uint8), (4, 4)) == 100).all()
    grown = resize(np.array([[0, 100]], dtype=np.uint8), (4, 1))
    assert grown.tolist() == [[0, 25, 75, 100]]
    assert resize(board, (8, 8)) is board
