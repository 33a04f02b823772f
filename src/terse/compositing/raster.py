"""The fast path for export: uint8, OpenCV, only the region that a paste touches.

It draws what `compose` draws from the same matrix, within the contract that the tests measure: mean absolute
difference <= 1/255 over the pasted region, mask IoU >= 0.98 for masks over 32x32 px. Pixels are RGB uint8, HWC;
matrices are `AffinePoses.matrix`'s, canvas to patch in [-1, 1].
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from terse.compositing.raster_blend import Layer, blend_layer
from terse.errors import ShapeError

__all__ = ["Drawn", "Edges", "Sprite", "draw", "draw_mask"]

_MAX_LEVEL = 5
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_MARGIN_PX = 8  # room for the widest blend kernel around the object


@dataclass(frozen=True, slots=True)
class Edges:
    """How a warped mask becomes the alpha that is blended: `EdgeConfig`'s settings, or None of them for digits."""

    binarise: bool = True
    blur_sigma_px: float = 1.0


@dataclass(slots=True)
class Sprite:
    """One foreground ready to be drawn: premultiplied RGBA and its halvings, made when first needed.

    `outline` is the convex hull of everything bilinear sampling can reach, in [-1, 1] of the patch.
    """

    levels: list[UInt8[np.ndarray, "h w 4"]]
    outline: Float[np.ndarray, "points 2"]
    texture: UInt8[np.ndarray, "h w 3"] | None = field(default=None)

    @staticmethod
    def of(rgba: UInt8[np.ndarray, "h w 4"]) -> "Sprite":
        """The sprite of a straight-alpha cut-out on its patch.

        Raises:
            ShapeError: not (height, width, 4) of uint8.

        Source: ours.
        """
        if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8:
            raise ShapeError(f"cut-out: expected uint8 (height, width, 4), got {rgba.dtype} {rgba.shape}")
        alpha = rgba[..., 3]
        scale = cv2.merge([alpha, alpha, alpha, np.full_like(alpha, 255)])
        premultiplied = cv2.multiply(rgba, scale, scale=1 / 255)
        return Sprite([np.asarray(premultiplied)], _outline(alpha))

    @property
    def nbytes(self) -> int:
        """What the sprite holds, all halvings counted, whether made yet or not."""
        return self.levels[0].nbytes * 4 // 3

    def level(self, k: int) -> UInt8[np.ndarray, "h w 4"]:
        """The patch halved k times by 2x2 means, an odd last row or column standing for itself."""
        while len(self.levels) <= k:
            last = self.levels[-1]
            height, width = last.shape[:2]
            if height % 2 or width % 2:
                last = cv2.copyMakeBorder(last, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
            half = ((width + 1) // 2, (height + 1) // 2)
            self.levels.append(np.asarray(cv2.resize(last, half, interpolation=cv2.INTER_AREA)))
        return self.levels[k]


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a paste covers: `mask` (0 or 255) lies at (left, top) of the canvas, inside it.

    `whole_px` counts the object's pixels beyond the canvas too.
    """

    left: int
    top: int
    mask: UInt8[np.ndarray, "h w"]
    whole_px: int


def draw(
    canvas: UInt8[np.ndarray, "h w 3"],
    sprite: Sprite,
    matrix: Float[np.ndarray, "2 3"],
    *,
    edges: Edges | None,
    blend: str = "alpha",
    seed: int = 0,
) -> Drawn:
    """Paste the sprite into the canvas, in place.

    The mask is the object's before any softening: the pixels that the object fills wholly where edges are
    binarised (A.2), else those that are at least half its own. So one scene has the same labels in all blends.

    Args:
        canvas: RGB, contiguous or not.
        matrix: canvas to patch.
        edges: None blends the warped mask as it is.
        blend: one of `raster_blend.BLENDS`.
        seed: chooses the direction and length of the motion blend.

    Source: paper 3.1 and A.2; the raster form is ours.
    """
    size = canvas.shape[0], canvas.shape[1]
    region = _region(sprite, matrix, size, _MARGIN_PX)
    if region is None:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0)
    warped = _warp(sprite, matrix, size, region)
    mask = _mask(cv2.extractChannel(warped, 3), edges)
    left, top, right, bottom = region
    inside = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    if inside[0] < inside[2] and inside[1] < inside[3]:
        sigma = edges.blur_sigma_px if edges is not None else 0.0
        layer = Layer(warped, mask, (left, top), hard=edges is not None and edges.binarise, blur_sigma_px=sigma)
        blend_layer(canvas, layer, inside, blend, seed)
    return _cropped(mask, region, inside)


def draw_mask(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], edges: Edges | None
) -> Drawn:
    """What `draw` would cover, without drawing.

    Source: ours.
    """
    region = _region(sprite, matrix, size_px, _MARGIN_PX)
    if region is None:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0)
    mask = _mask(cv2.extractChannel(_warp(sprite, matrix, size_px, region), 3), edges)
    inside = max(region[0], 0), max(region[1], 0), min(region[2], size_px[1]), min(region[3], size_px[0])
    return _cropped(mask, region, inside)


def reach_px(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The half-open box, not clipped to the canvas, that holds every pixel the sprite can touch.

    Source: ours.
    """
    m = np.asarray(matrix, np.float64)
    points = np.linalg.solve(m[:, :2], (sprite.outline - m[:, 2]).T)
    half = np.array([[size_px[1] / 2], [size_px[0] / 2]])
    points = (points + 1) * half
    (x0, y0), (x1, y1) = points.min(axis=1), points.max(axis=1)
    return float(x0), float(y0), float(x1), float(y1)


def _region(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], margin_px: int
) -> tuple[int, int, int, int] | None:
    """The pixels to compute: the object's reach, at most one canvas beyond each border."""
    if not len(sprite.outline):
        return None
    x0, y0, x1, y1 = reach_px(sprite, matrix, size_px)
    height, width = size_px
    left = max(math.floor(x0) - margin_px, -width)
    top = max(math.floor(y0) - margin_px, -height)
    right = min(math.ceil(x1) + margin_px, 2 * width)
    bottom = min(math.ceil(y1) + margin_px, 2 * height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _warp(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], region: tuple[int, int, int, int]
) -> UInt8[np.ndarray, "h w 4"]:
    m = np.asarray(matrix, np.float64)
    height, width = size_px
    full = sprite.levels[0].shape
    determinant = abs(m[0, 0] * m[1, 1] - m[0, 1] * m[1, 0])
    step = math.sqrt(determinant * (full[0] * full[1]) / (height * width))
    smallest = max(0, min(full[0], full[1]).bit_length() - 2)
    source = sprite.level(int(np.clip(np.round(np.log2(max(step, 1e-6))), 0, min(_MAX_LEVEL, smallest))))
    # [-1, 1] to pixel centres on both sides, and the region's corner as origin.
    to_patch = np.diag([source.shape[1] / 2, source.shape[0] / 2])
    linear = to_patch @ m[:, :2] @ np.diag([2 / width, 2 / height])
    centre = np.array([region[0] + 0.5, region[1] + 0.5])
    offset = to_patch @ (m[:, 2] + 1 - m[:, :2].sum(axis=1)) + linear @ centre - 0.5
    pixels = np.concatenate([linear, offset[:, None]], axis=1)
    extent = (region[2] - region[0], region[3] - region[1])
    return np.asarray(cv2.warpAffine(source, pixels, extent, flags=_INVERSE))


def _mask(alpha: UInt8[np.ndarray, "h w"], edges: Edges | None) -> UInt8[np.ndarray, "h w"]:
    threshold = 254 if edges is not None and edges.binarise else 127
    return np.asarray(cv2.threshold(alpha, threshold, 255, cv2.THRESH_BINARY)[1])


def _cropped(
    mask: UInt8[np.ndarray, "h w"], region: tuple[int, int, int, int], inside: tuple[int, int, int, int]
) -> Drawn:
    """The part of the mask inside the canvas, tight around its pixels."""
    whole = cv2.countNonZero(mask)
    left, top, right, bottom = inside
    if left >= right or top >= bottom:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), whole)
    part = mask[top - region[1] : bottom - region[1], left - region[0] : right - region[0]]
    x, y, width, height = cv2.boundingRect(part)
    return Drawn(left + x, top + y, np.ascontiguousarray(part[y : y + height, x : x + width]), whole)


def _outline(alpha: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "points 2"]:
    """A pixel reaches one pixel beyond its centre: the support of bilinear sampling."""
    height, width = alpha.shape
    some = cv2.findNonZero(cv2.compare(alpha, 0, cv2.CMP_GT))
    if some is None:
        return np.zeros((0, 2))
    hull = cv2.convexHull(some)[:, 0].astype(np.float64)
    corners = np.concatenate([hull + step for step in ((-1, -1), (-1, 1), (1, -1), (1, 1))])
    return (2 * corners + 1) / (width, height) - 1
