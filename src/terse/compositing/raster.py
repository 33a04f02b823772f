"""The fast path for export: uint8, OpenCV, only the region that a paste touches.

It draws what `compose` draws from the same matrix, within the contract that the tests measure: mean absolute
difference <= 1/255 over the pasted region, mask IoU >= 0.98 for masks over 32x32 px. Pixels are RGB uint8, HWC;
matrices are `AffinePoses.matrix`'s, canvas to patch in [-1, 1].
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8, UInt16

from terse.compositing.raster_blend import Layer, blend_layer
from terse.errors import ShapeError

__all__ = ["Drawn", "Edges", "Sprite", "draw", "draw_mask"]

_MAX_LEVEL = 5
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_KEEP = int(65535 * (1 - 1e-4))
_MARGIN_PX = 8  # room for the widest blend kernel around the object


@dataclass(frozen=True, slots=True)
class Edges:
    """How a warped mask becomes the alpha that is blended: `EdgeConfig`'s settings, or None of them for digits."""

    binarise: bool = True
    blur_sigma_px: float = 1.0


@dataclass(slots=True)
class Sprite:
    """One foreground ready to be drawn: premultiplied RGBA and its halvings, made when first needed.

    16 bits a channel: with 8, the mask's threshold at 1 - 1e-4 and the rim's division are too coarse to agree
    with `compose`; OpenCV warps both in the same time.

    `outline` is the convex hull of everything bilinear sampling can reach, in [-1, 1] of the patch.
    """

    levels: list[UInt16[np.ndarray, "h w 4"]]
    outline: Float[np.ndarray, "points 2"]

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
        premultiplied = rgba.astype(np.float32) * (alpha.astype(np.float32) * np.float32(257 / 255))[..., None]
        premultiplied[..., 3] = alpha * np.float32(257)
        return Sprite([np.rint(premultiplied).astype(np.uint16)], _outline(alpha))

    @property
    def nbytes(self) -> int:
        """What the sprite holds, all halvings counted, whether made yet or not."""
        return self.levels[0].nbytes * 4 // 3

    def level(self, k: int) -> UInt16[np.ndarray, "h w 4"]:
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

    The mask is what the paper's alpha fills by half or more, whatever the blend: one scene has the same labels
    in all of them.

    Args:
        canvas: RGB, contiguous or not.
        matrix: canvas to patch.
        edges: None blends the warped mask as it is.
        blend: one of `raster_blend.BLENDS`.
        seed: chooses the direction and length of the motion blend.

    Source: paper 3.1 and A.2; the raster form is ours.
    """
    size = canvas.shape[0], canvas.shape[1]
    layer = _layer(sprite, matrix, size, edges)
    if layer is None:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0)
    if layer.mask.size:
        blend_layer(canvas, layer, blend, seed)
    return _tight(layer)


def draw_mask(sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], edges: Edges | None) -> Drawn:
    """What `draw` would cover, without drawing.

    Source: ours.
    """
    layer = _layer(sprite, matrix, size_px, edges)
    return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0) if layer is None else _tight(layer)


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
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """The pixels to compute: the object's reach, at most one canvas beyond each border."""
    if not len(sprite.outline):
        return None
    x0, y0, x1, y1 = reach_px(sprite, matrix, size_px)
    height, width = size_px
    left = max(math.floor(x0) - _MARGIN_PX, -width)
    top = max(math.floor(y0) - _MARGIN_PX, -height)
    right = min(math.ceil(x1) + _MARGIN_PX, 2 * width)
    bottom = min(math.ceil(y1) + _MARGIN_PX, 2 * height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _warp(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], region: tuple[int, int, int, int]
) -> UInt16[np.ndarray, "h w 4"]:
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


def _layer(
    sprite: Sprite, matrix: Float[np.ndarray, "2 3"], size_px: tuple[int, int], edges: Edges | None
) -> Layer | None:
    """The warped cut-out with its alpha after A.2, and the mask that this alpha fills by half or more."""
    region = _region(sprite, matrix, size_px)
    if region is None:
        return None
    whole = _warp(sprite, matrix, size_px, region)
    left, top, right, bottom = region
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, size_px[1]), min(bottom, size_px[0])
    threshold = _KEEP if edges is not None and edges.binarise else 32767
    binary = (np.asarray(cv2.extractChannel(whole, 3)) > threshold).view(np.uint8) * np.uint8(255)
    if x0 >= x1 or y0 >= y1:
        nothing = np.zeros((0, 0), np.uint8)
        return Layer(whole[:0, :0], nothing, nothing, (0, 0), binary, (left, top))
    # Cut at the border before the blur: like `compose`, which sees nothing beyond it, blurs repeat the border.
    window = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    rgba = np.ascontiguousarray(whole[window])
    alpha = _soft(np.asarray(cv2.extractChannel(rgba, 3)), np.ascontiguousarray(binary[window]), edges)
    mask = np.asarray(cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1])
    binary[window] = mask
    return Layer(rgba, alpha, mask, (x0, y0), binary, (left, top))


def _soft(
    warped: UInt16[np.ndarray, "h w"], binary: UInt8[np.ndarray, "h w"], edges: Edges | None
) -> UInt8[np.ndarray, "h w"]:
    if edges is None or not edges.binarise:
        return np.asarray(cv2.convertScaleAbs(warped, alpha=1 / 257))
    if not edges.blur_sigma_px:
        return binary
    radius = max(1, round(3 * edges.blur_sigma_px))
    kernel = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.GaussianBlur(binary.astype(np.float32), kernel, edges.blur_sigma_px, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.copyTo(cv2.convertScaleAbs(soft), (warped > 0).view(np.uint8)))


def _tight(layer: Layer) -> Drawn:
    """The mask inside the canvas, tight around its pixels."""
    whole = cv2.countNonZero(layer.whole)
    x, y, width, height = cv2.boundingRect(layer.mask) if layer.mask.size else (0, 0, 0, 0)
    mask = np.ascontiguousarray(layer.mask[y : y + height, x : x + width])
    if not mask.size:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), whole)
    return Drawn(layer.origin[0] + x, layer.origin[1] + y, mask, whole)


def _outline(alpha: UInt8[np.ndarray, "h w"]) -> Float[np.ndarray, "points 2"]:
    """A pixel reaches one pixel beyond its centre: the support of bilinear sampling."""
    height, width = alpha.shape
    some = cv2.findNonZero(alpha)
    if some is None:
        return np.zeros((0, 2))
    hull = cv2.convexHull(some)[:, 0].astype(np.float64)
    corners = np.concatenate([hull + step for step in ((-1, -1), (-1, 1), (1, -1), (1, 1))])
    return (2 * corners + 1) / (width, height) - 1
