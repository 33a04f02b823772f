"""The outermost points of a mask, by which poses know how large an object is and where it ends."""

import math

import numpy as np
from jaxtyping import Bool, Float32

__all__ = ["hull_of"]

_DIRECTIONS = 32
_BLOCK = 64  # masks at once: what is computed of thousands of small ones would not fit into a cache


def hull_of(ink: Bool[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n points 2"]:
    """The outermost points of each mask in 32 directions, in [-1, 1] of the patch.

    A pixel reaches one pixel beyond its centre: the support of bilinear sampling. So an object placed by
    these points touches no pixel outside them. An empty mask gives the patch's centre.

    Source: ours.
    """
    blocks = [_hull_of(ink[start : start + _BLOCK]) for start in range(0, max(1, len(ink)), _BLOCK)]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _hull_of(ink: Bool[np.ndarray, "n h w"]) -> Float32[np.ndarray, "n points 2"]:
    height, width = ink.shape[1:]
    some = np.asarray(ink.any(axis=2))
    left = ink.argmax(axis=2)
    right = width - 1 - ink[:, :, ::-1].argmax(axis=2)
    rows = np.broadcast_to(np.arange(height), left.shape)
    xs = np.concatenate([left - 1, right + 1, left, right, left, right], axis=1)
    ys = np.concatenate([rows, rows, rows - 1, rows - 1, rows + 1, rows + 1], axis=1)
    one = np.float32(1)
    points = np.stack(
        [
            (2 * xs + 1).astype(np.float32) / np.float32(width) - one,
            (2 * ys + 1).astype(np.float32) / np.float32(height) - one,
        ],
        axis=-1,
    )
    angles = np.arange(_DIRECTIONS, dtype=np.float32) * np.float32(2 * math.pi / _DIRECTIONS)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    reach = np.where(np.tile(some, 6)[..., None], points @ directions, -np.inf)
    best = reach.argmax(axis=1)
    hull: Float32[np.ndarray, "n points 2"] = np.take_along_axis(points, best[..., None], axis=1)
    hull[~some.any(axis=1)] = 0
    return hull
