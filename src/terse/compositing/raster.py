"""The fast path for export: uint8, OpenCV, only the region that a paste touches.

It draws what `compose` draws from the same pose, within the contract that the tests measure: mean absolute
difference <= 1/255 over the pasted region, mask IoU >= 0.98 for masks over 32x32 px. Pixels are RGB uint8, HWC;
where a sprite goes is a `PoseFamily.raster`'s pose, or a matrix, canvas to patch in [-1, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, Float64, UInt8, UInt16

from terse.compositing.blend import Warped, blend_layer, blurred, straight
from terse.compositing.raster_stages import prepared, shade
from terse.errors import ShapeError
from terse.poses.posed import RasterPose

if TYPE_CHECKING:
    from terse.poses.maps import CanvasMap
    from terse.recipe_parts import EdgeConfig
    from terse.types import ViewSphere

    Where = RasterPose | CanvasMap | Float[np.ndarray, "2 3"]

__all__ = ["Drawn", "Sprite", "draw", "draw_mask", "place_px", "reach_px"]

MAX_LEVEL = 5
_INVERSE = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
_FULL = 1 - 1e-4
_RIM_POINTS = 9
_CACHED_BYTES = 1 << 20
_MARGIN_PX = 8  # room for the widest blend kernel around the object


@dataclass(slots=True)
class Sprite:
    """One foreground ready to be drawn: premultiplied RGBA and its halvings, made when first needed.

    16 bits a channel: with 8, the mask's threshold at 1 - 1e-4 and the rim's division are too coarse to agree
    with `compose`; OpenCV warps both in the same time.

    `outline` is the convex hull of everything bilinear sampling can reach, in [-1, 1] of the patch.
    """

    levels: list[UInt16[np.ndarray, "h w 4"]]
    outline: Float[np.ndarray, "points 2"]
    views: ViewSphere | None = None

    @staticmethod
    def of(rgba: UInt8[np.ndarray, "h w 4"], views: ViewSphere | None = None) -> Sprite:
        """The sprite of a straight-alpha cut-out on its patch; of a 3-D model's, the outline holds all views.

        Raises:
            ShapeError: not (height, width, 4) of uint8.

        Source: ours.
        """
        if rgba.ndim != 3 or rgba.shape[2] != 4 or rgba.dtype != np.uint8:
            raise ShapeError(f"cut-out: expected uint8 (height, width, 4), got {rgba.dtype} {rgba.shape}")
        left, top, width, height = cv2.boundingRect(np.ascontiguousarray(rgba[..., 3]))
        inside = slice(top, top + height), slice(left, left + width)
        alpha = rgba[..., 3][inside].astype(np.float32)
        premultiplied = rgba[inside] * (alpha * np.float32(257 / 255))[..., None]
        premultiplied[..., 3] = alpha * np.float32(257)
        whole = np.zeros(rgba.shape, np.uint16)
        whole[inside] = np.rint(premultiplied)
        outline = _outline(rgba[..., 3] if views is None else views.tiles[..., 3].max(axis=(0, 1)))
        return Sprite([whole], outline, views)

    @property
    def nbytes(self) -> int:
        """What the sprite holds, all halvings counted, whether made yet or not."""
        return self.levels[0].nbytes * 4 // 3

    def level(self, k: int) -> UInt16[np.ndarray, "h w 4"]:
        """The patch halved k times by 2x2 means, an odd last row or column made even by zeros."""
        while len(self.levels) <= k:
            last = self.levels[-1]
            height, width = last.shape[:2]
            if height % 2 or width % 2:
                last = cv2.copyMakeBorder(last, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
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

    @property
    def box_px(self) -> tuple[float, float, float, float]:
        """Half-open xyxy of the mask's array."""
        height, width = self.mask.shape
        return self.left, self.top, self.left + width, self.top + height

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the canvas under the mask."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    @property
    def seen_px(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.mask))


def draw(
    canvas: UInt8[np.ndarray, "h w 3"],
    sprite: Sprite,
    where: Where,
    *,
    edges: EdgeConfig | None,
    blend: str = "alpha",
    seed: int = 0,
    bgr: bool = False,
    grey: bool = False,
) -> Drawn:
    """Paste the sprite into the canvas, in place.

    The mask is what the paper's alpha fills by half or more, whatever the blend: one scene has the same labels
    in all of them.

    Args:
        canvas: RGB, contiguous or not.
        sprite: the cut-out.
        where: its pose, or its matrix from canvas to patch.
        edges: None blends the warped mask as it is.
        blend: one of `recipe.BLENDS`.
        seed: chooses the direction and length of the motion blend.
        bgr: whether canvas and sprite have their channels in OpenCV's order, which families of colours must know.
        grey: whether the sprite's colour is one channel, which has no tint for them.

    Source: paper 3.1 and A.2; the raster form is ours.
    """
    if isinstance(where, RasterPose) and where.family.has("prepare"):
        sprite = _prepared(sprite, where, bgr=bgr, grey=grey)
    size = canvas.shape[0], canvas.shape[1]
    layer = _layer(sprite, _map(where), size, edges, blend)
    if layer is None:
        return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0)
    if layer.mask.size:
        if isinstance(where, RasterPose) and where.family.has("shade"):
            shade(canvas, layer, where, bgr=bgr)
        blend_layer(canvas, layer, blend, seed)
    return _tight(layer)


def draw_mask(sprite: Sprite, where: Where, size_px: tuple[int, int], edges: EdgeConfig | None) -> Drawn:
    """What `draw` would cover, without drawing.

    Source: ours.
    """
    if sprite.views is not None and isinstance(where, RasterPose):
        sprite = _prepared(sprite, where, bgr=False, grey=False)
    layer = _layer(sprite, _map(where), size_px, edges, None)
    return Drawn(0, 0, np.zeros((0, 0), np.uint8), 0) if layer is None else _tight(layer)


def reach_px(sprite: Sprite, where: Where, size_px: tuple[int, int]) -> tuple[float, float, float, float]:
    """The half-open box, not clipped to the canvas, that holds every pixel the sprite can touch.

    Source: ours.
    """
    height, width = size_px
    matrix = _map(where)
    if not isinstance(matrix, np.ndarray):
        import torch

        (left, top), (right, bottom) = sprite.outline.min(axis=0), sprite.outline.max(axis=0)
        x, y = matrix.inverse(torch.from_numpy(_rim(left, top, right, bottom))[None])[0].numpy().T
        x, y = (x + 1) / 2 * width, (y + 1) / 2 * height
    else:
        (a, b, e), (c, d, f) = np.asarray(matrix, np.float64).tolist()
        determinant = a * d - b * c
        # The inverse, straight to pixels: numpy's own solver costs more than the whole warp of a small object.
        u, v = sprite.outline[:, 0] - e, sprite.outline[:, 1] - f
        x = (d * u - b * v) * (width / (2 * determinant)) + width / 2
        y = (a * v - c * u) * (height / (2 * determinant)) + height / 2
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


def place_px(points: Float[np.ndarray, "n 2"], where: Where, size_px: tuple[int, int]) -> Float64[np.ndarray, "n 2"]:
    """Where points of the patch, in [-1, 1], come to lie on a canvas of this height and width, in pixels.

    Source: ours.
    """
    matrix = _map(where)
    if not isinstance(matrix, np.ndarray):
        import torch

        placed = matrix.inverse(torch.from_numpy(points.astype(np.float64))[None])[0].numpy()
    else:
        full = np.asarray(matrix, np.float64)
        placed = np.linalg.solve(full[:, :2], (points - full[:, 2]).T).T
    found: Float64[np.ndarray, "n 2"] = (placed + 1) / 2 * (size_px[1], size_px[0])
    return found


def _rim(left: float, top: float, right: float, bottom: float) -> Float64[np.ndarray, "n 2"]:
    """Points along a rectangle's sides, whose straight lines a map may bend."""
    along = np.linspace(0, 1, _RIM_POINTS)
    x, y = left + (right - left) * along, top + (bottom - top) * along
    sides = [(x, np.full_like(x, top)), (x, np.full_like(x, bottom)), (np.full_like(y, left), y)]
    return np.concatenate([np.stack(side, axis=1) for side in (*sides, (np.full_like(y, right), y))])


def _map(where: Where) -> np.ndarray | CanvasMap:
    return where.where if isinstance(where, RasterPose) else where


def _region(
    sprite: Sprite, where: np.ndarray | CanvasMap, size_px: tuple[int, int], margin_px: int
) -> tuple[int, int, int, int] | None:
    """The pixels to compute: the object's reach, at most one canvas beyond each border."""
    if not len(sprite.outline):
        return None
    x0, y0, x1, y1 = reach_px(sprite, where, size_px)
    height, width = size_px
    left = max(math.floor(x0) - margin_px, -width)
    top = max(math.floor(y0) - margin_px, -height)
    right = min(math.ceil(x1) + margin_px, 2 * width)
    bottom = min(math.ceil(y1) + margin_px, 2 * height)
    return (left, top, right, bottom) if left < right and top < bottom else None


def _level(sprite: Sprite, where: np.ndarray | CanvasMap, size_px: tuple[int, int]) -> int:
    """How often the patch is halved before it is sampled, as `warp.shrink_levels` has it."""
    if not isinstance(where, np.ndarray):
        shrink = float(where.shrink())
    else:
        (a, b, _), (c, d, _) = np.asarray(where, np.float64).tolist()
        shrink = abs(a * d - b * c)
    height, width = sprite.levels[0].shape[:2]
    step = math.sqrt(shrink * (height * width) / (size_px[0] * size_px[1]))
    smallest = max(0, min(height, width).bit_length() - 2)
    level: int = min(max(round(math.log2(max(step, 1e-6))), 0), MAX_LEVEL, smallest)
    return level


def _warp(
    pixels: UInt16[np.ndarray, "*_"],
    patch_px: tuple[int, ...],
    level: int,
    where: np.ndarray | CanvasMap,
    size_px: tuple[int, int],
    region: tuple[int, int, int, int],
) -> UInt16[np.ndarray, "*_"]:
    height, width = size_px
    patch_height, patch_width = patch_px[:2]
    # [-1, 1] to pixel centres on both sides, and the region's corner as origin.
    half_x, half_y = patch_width / 2 ** (level + 1), patch_height / 2 ** (level + 1)
    if not isinstance(where, np.ndarray):
        from terse.compositing.warp import Window, grid_of

        grid = grid_of(where, size_px, Window(*region), where.half)[0].numpy()
        grid = ((grid + 1) * (half_x, half_y) - 0.5).astype(np.float32)
        return np.asarray(cv2.remap(pixels, grid, None, cv2.INTER_LINEAR))  # type: ignore[call-overload]
    (a, b, e), (c, d, f) = np.asarray(where, np.float64).tolist()
    x, y = 2 * (region[0] + 0.5) / width, 2 * (region[1] + 0.5) / height
    to_pixels = np.array(
        [
            [half_x * a * 2 / width, half_x * b * 2 / height, half_x * (a * x + b * y + e + 1 - a - b) - 0.5],
            [half_y * c * 2 / width, half_y * d * 2 / height, half_y * (c * x + d * y + f + 1 - c - d) - 0.5],
        ]
    )
    extent = (region[2] - region[0], region[3] - region[1])
    return np.asarray(cv2.warpAffine(pixels, to_pixels, extent, flags=_INVERSE))


def _layer(
    sprite: Sprite,
    where: np.ndarray | CanvasMap,
    size_px: tuple[int, int],
    edges: EdgeConfig | None,
    blend: str | None,
) -> Warped | None:
    """The warped cut-out with its alpha after A.2, and the mask that this alpha fills by half or more.

    Without a blend only the masks are wanted.
    """
    binarise = edges is not None and edges.binarise
    sigma = edges.blur_sigma_px if edges is not None and binarise else 0.0
    reach = math.ceil(3 * sigma)
    margin = reach + 1 if blend in (None, "alpha") else max(_MARGIN_PX, reach + 1)
    region = _region(sprite, where, size_px, margin)
    if region is None:
        return None
    level = _level(sprite, where, size_px)
    pixels = sprite.level(level)
    if blend is None:
        pixels = np.asarray(cv2.extractChannel(pixels, 3))  # warps to the same numbers, in a third of the time
    elif pixels.nbytes <= _CACHED_BYTES:
        # Read in a row into the cache: a warp that gathers from memory takes twice as long, the copy a twentieth.
        pixels = pixels.copy()
    whole = _warp(pixels, sprite.levels[0].shape, level, where, size_px, region)
    plane = whole if blend is None else np.asarray(cv2.extractChannel(whole, 3))
    left, top, right, bottom = region
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, size_px[1]), min(bottom, size_px[0])
    threshold = min(_FULL, (1 + 2.0**-level) / 2) if binarise else 0.5  # as `edges.keep_above` has it
    binary = (plane > int(65535 * threshold)).view(np.uint8) * np.uint8(255)
    if x0 >= x1 or y0 >= y1:
        nothing = np.zeros((0, 0), np.uint8)
        return Warped(None, nothing, nothing, (0, 0), binary, (left, top), nothing)
    # The blur sees beyond the canvas: an object does not fade where the border cuts it.
    ox0, oy0 = max(x0 - reach, left), max(y0 - reach, top)
    outer = slice(oy0 - top, y1 + reach - top), slice(ox0 - left, x1 + reach - left)
    inner = slice(y0 - oy0, y1 - oy0), slice(x0 - ox0, x1 - ox0)
    kept = np.ascontiguousarray(binary[outer])
    alpha = _soft(plane[outer], kept, sigma, binarise=binarise)[inner]
    colour = spread = None
    if blend is not None:
        rgba = np.ascontiguousarray(whole[outer])
        # Full alpha alone is kept of a mask that was not halved: there is no rim to divide.
        whole_colour = straight(rgba, divide=blend != "alpha" or level > 0 or not sigma)
        colour = np.ascontiguousarray(whole_colour[inner])
        if sigma and blend == "alpha":
            spread = blurred(np.asarray(cv2.copyTo(whole_colour, kept)), sigma)[inner]
    kept, alpha = np.ascontiguousarray(kept[inner]), np.ascontiguousarray(alpha)
    mask = np.asarray(cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1])
    binary[y0 - top : y1 - top, x0 - left : x1 - left] = mask
    return Warped(colour, alpha, mask, (x0, y0), binary, (left, top), kept, spread)


def _soft(
    plane: UInt16[np.ndarray, "h w"],
    binary: UInt8[np.ndarray, "h w"],
    sigma_px: float,
    *,
    binarise: bool,
) -> UInt8[np.ndarray, "h w"]:
    if not binarise:
        return np.asarray(cv2.convertScaleAbs(np.ascontiguousarray(plane), alpha=1 / 257))
    if not sigma_px:
        return binary
    return np.asarray(cv2.convertScaleAbs(blurred(binary, sigma_px, cv2.CV_32F)))


def _tight(layer: Warped) -> Drawn:
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
    rims, _ = cv2.findContours(alpha, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not rims:
        return np.zeros((0, 2))
    hull = cv2.convexHull(np.concatenate(rims))[:, 0].astype(np.float64)
    corners = np.concatenate([hull + step for step in ((-1, -1), (-1, 1), (1, -1), (1, 1))])
    return (2 * corners + 1) / (width, height) - 1


def _prepared(sprite: Sprite, where: RasterPose, *, bgr: bool, grey: bool) -> Sprite:
    pixels = prepared(sprite.levels[0], sprite.views, where, bgr=bgr, grey=grey)
    return Sprite([pixels], _outline((pixels[..., 3] > 0).view(np.uint8)))
