"""A photograph's object as a square patch: cut out, squashed as its image would be, made as large as fits.

The paper centres foregrounds so that the mask's longer side takes at least 0.7 of the image (A.2). Here it takes
the whole patch, exactly: then a pose's scale is the object's longer side over the canvas's shorter one, and no
pixel is spent on a margin. Sampling outside the patch gives 0, so no margin is needed.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from terse.sources.masks import PixelBox

__all__ = ["cut_patch", "place_in_patch", "points_in_patch", "resize", "touched", "window_of"]

_HALF = 127


def window_of(box_px: Sequence[float], size_px: tuple[int, int]) -> PixelBox:
    """The whole pixels inside the image that a box touches."""
    x0, y0, x1, y1 = box_px
    return (
        max(int(np.floor(x0)), 0),
        max(int(np.floor(y0)), 0),
        min(int(np.ceil(x1)), size_px[0]),
        min(int(np.ceil(y1)), size_px[1]),
    )


def cut_patch(
    colours: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
    side_px: int,
    stretch: tuple[float, float] = (1.0, 1.0),
) -> UInt8[np.ndarray, "side side 4"]:
    """The object alone on a square patch, its longer side filling it, straight alpha, black outside.

    Colours are resampled premultiplied: none from outside the mask bleeds in. A mask that is 0 or 255
    everywhere stays so.

    Args:
        colours: a crop that is tight around the mask.
        alpha: the mask in the same crop.
        side_px: of the patch.
        stretch: what the image's own resizing does to width and height; only their ratio counts.
    """
    height, width = alpha.shape
    left, top, out_w, out_h = place_in_patch((width, height), side_px, stretch)
    hard = bool(((alpha == 0) | (alpha == 255)).all())
    patch = np.zeros((side_px, side_px, 4), dtype=np.uint8)
    if hard and (out_w, out_h) == (width, height):  # nothing to resample: the same bytes in a fiftieth of the time
        inside = patch[top : top + height, left : left + width]
        inside[..., :3] = cv2.copyTo(np.ascontiguousarray(colours), alpha)
        inside[..., 3] = alpha
        return patch
    weight = alpha.astype(np.float32)[..., None] / 255
    layers = np.concatenate([colours * weight, weight], axis=2)
    small = resize(layers, (out_w, out_h))
    coverage = small[..., 3:]
    straight = small[..., :3] / np.maximum(coverage, 1e-6)
    opacity = coverage * 255
    if hard:
        opacity = np.where(opacity > _HALF, 255, 0)
        if not opacity.any():  # a mask thinner than half a pixel of the patch
            opacity = np.where(coverage > 0, 255, 0)
    opacity = np.clip(np.rint(opacity), 0, 255)
    cut = np.concatenate([np.where(opacity > 0, np.clip(np.rint(straight), 0, 255), 0), opacity], axis=2)
    patch[top : top + out_h, left : left + out_w] = cut.astype(np.uint8)
    return patch


def place_in_patch(size_px: tuple[int, int], side_px: int, stretch: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, top, width and height that `cut_patch` gives a crop of this width and height."""
    stretched = size_px[0] * stretch[0], size_px[1] * stretch[1]
    scale = side_px / max(stretched)
    out_w, out_h = (max(1, round(length * scale)) for length in stretched)
    return (side_px - out_w) // 2, (side_px - out_h) // 2, out_w, out_h


def points_in_patch(
    points: Float32[np.ndarray, "k 3"], box: PixelBox, side_px: int, stretch: tuple[float, float]
) -> Float32[np.ndarray, "k 3"]:
    """Keypoints of an image as `cut_patch` places a crop of this box: x and y in [-1, 1] of the patch."""
    size_px = box[2] - box[0], box[3] - box[1]
    left, top, out_w, out_h = place_in_patch(size_px, side_px, stretch)
    inside = (points[:, :2] - box[:2]) * (out_w / size_px[0], out_h / size_px[1]) + (left, top)
    placed: Float32[np.ndarray, "k 3"] = points.copy()
    placed[:, :2] = inside / side_px * 2 - 1
    return placed


def resize(image: np.ndarray, size_px: tuple[int, int]) -> np.ndarray:
    """Resample to width and height: area means where it shrinks, bilinear where it grows."""
    height, width = image.shape[:2]
    if (width, height) == size_px:
        return image
    shrinks = size_px[0] < width or size_px[1] < height
    resized: np.ndarray = cv2.resize(image, size_px, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def touched(mask: Bool[np.ndarray, "h w"], size_px: tuple[int, int]) -> Bool[np.ndarray, "out_h out_w"]:
    """The pixels at another size that a mask has a part in, however small: what is thinner than half a pixel is there.

    Source: ours.
    """
    # An axis at a time: where one shrinks while the other grows, OpenCV has no area means and may step over it.
    narrow = resize(mask.astype(np.float32), (size_px[0], len(mask)))
    return np.asarray(resize(narrow, size_px) > 0)
