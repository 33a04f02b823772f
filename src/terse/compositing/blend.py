"""How a warped cut-out joins what lies below: the paper's circled plus, and six blends of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8, UInt16

from terse.errors import DataError
from terse.recipe_parts import BLENDS

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Warped", "blend", "blend_layer", "blurred", "straight"]

_Colour = UInt8[np.ndarray, "h w 3"]
_Alpha = UInt8[np.ndarray, "h w"]
_POISSON_MIN_PX = 12  # of a side; a smaller object's inside is not worth solving for
_POISSON_PAD_PX = 4
_POISSON_GROWN_PX = 2  # seamlessClone takes three off the mask; the rim's own gradient is the only one to leave out
_SEEN_LEVELS = 4  # of 255: a pixel that differs by more from the canvas is seen
_LOST_SHARE = 1 / 3  # of the pixels that a plain paste shows: where a clone shows fewer, the object is lost


def blend(
    background: Float[Tensor, "b c h w"],
    premultiplied: Float[Tensor, "b c h w"],
    alpha: Float[Tensor, "b 1 h w"],
) -> Float[Tensor, "b c h w"]:
    """Background (1 - alpha) + colour alpha, the product given already.

    Where alpha is 0 and so is the product, the background keeps its bits.

    Source: paper 3.1, after Porter and Duff 1984 ("over").
    """
    return background * (1 - alpha) + premultiplied


@dataclass(frozen=True, slots=True)
class Warped:
    """A warped cut-out, cut at the canvas's border: its corner lies at `origin` (x, y) of the canvas.

    `whole` is the mask again with what is beyond the border, its corner at `whole_origin`.
    """

    colour: UInt8[np.ndarray, "h w 3"] | None  # straight; None where only masks are wanted
    alpha: UInt8[np.ndarray, "h w"]  # after the paper's edges
    mask: UInt8[np.ndarray, "h w"]  # 0 or 255
    origin: tuple[int, int]
    whole: UInt8[np.ndarray, "wh ww"]
    whole_origin: tuple[int, int]
    kept: UInt8[np.ndarray, "h w"]  # 0 or 255: the mask before the paper's blur
    spread: UInt8[np.ndarray, "h w 3"] | None = None  # its colour after that blur, premultiplied


def blend_layer(canvas: UInt8[np.ndarray, "h w 3"], layer: Warped, blend: str, seed: int) -> None:
    """Blend the layer into the canvas, in place.

    `alpha` is the paper's: blurred binary mask, or the warped mask as it is. `gaussian` (5x5, sigma 2) and
    `box` (3x3) soften the mask, as Dwibedi et al. do; colour beyond the rim is carried outwards from the
    object, so nothing of the cut-out's old background shows. `motion` smears the object along a line. `none` is
    the mask. `poisson` is `seamlessClone`, which keeps gradients: a small object, and one of a single colour that would
    not be seen, is drawn as by `gaussian`.

    Raises:
        DataError: no such blend.

    Source: alpha: paper A.2. The others: Dwibedi et al. 2017 (Cut, Paste and Learn); Perez et al. 2003.
    """
    if blend not in BLENDS:
        raise DataError(f"blend: expected one of {', '.join(BLENDS)}, got {blend!r}")
    large = min(cv2.boundingRect(layer.whole)[2:]) >= _POISSON_MIN_PX
    if blend == "poisson" and large and _poisson(canvas, layer):
        return
    colour, weight, alpha = _weighted(layer, blend, seed)
    region = _region(canvas, layer)
    # Rounded once, at the end: the products of bytes fit 16 bits. NumPy multiplies faster what is 16 bits already.
    mixed, over = region.astype(np.uint16), colour.astype(np.uint16)
    mixed *= _three(np.asarray(cv2.bitwise_not(alpha)))
    over *= _three(weight)
    mixed += over
    region[:] = cv2.convertScaleAbs(mixed, alpha=1 / 255)


def _weighted(layer: Warped, blend: str, seed: int) -> tuple[_Colour, _Alpha, _Alpha]:
    """Colour, what it counts, and how much of the canvas it replaces: both are alpha for straight colours."""
    assert layer.colour is not None  # by the caller's choice of a blend
    if blend == "alpha" and layer.spread is not None:
        return _sharp_inside(layer, layer.kept, layer.spread, layer.alpha)
    if blend == "alpha":
        return layer.colour, layer.alpha, layer.alpha
    if blend == "none":
        return layer.colour, layer.mask, layer.mask
    object_only = cv2.merge([*cv2.split(cv2.copyTo(layer.colour, layer.mask)), layer.mask])
    full = np.full_like(layer.mask, 255)
    if blend == "motion":
        kernel = _line_kernel(seed)
        smeared = cv2.filter2D(object_only, -1, kernel, borderType=cv2.BORDER_REPLICATE)
        return (
            np.asarray(cv2.cvtColor(smeared, cv2.COLOR_RGBA2RGB)),
            full,
            np.asarray(cv2.extractChannel(smeared, 3)),
        )
    if blend == "box":
        soft = cv2.blur(object_only, (3, 3), borderType=cv2.BORDER_REPLICATE)
    else:
        soft = cv2.GaussianBlur(object_only, (5, 5), 2.0, borderType=cv2.BORDER_REPLICATE)
    spread = np.asarray(cv2.cvtColor(soft, cv2.COLOR_RGBA2RGB))
    return _sharp_inside(layer, layer.mask, spread, np.asarray(cv2.extractChannel(soft, 3)))


def _sharp_inside(layer: Warped, inside: _Alpha, spread: _Colour, alpha: _Alpha) -> tuple[_Colour, _Alpha, _Alpha]:
    """Outside the blur is premultiplied already; inside, the sharp colour goes under the soft alpha."""
    assert layer.colour is not None
    colour = cv2.copyTo(layer.colour, inside, np.ascontiguousarray(spread))
    return np.asarray(colour), np.asarray(cv2.max(alpha, cv2.bitwise_not(inside))), alpha


def blurred(image: np.ndarray, sigma_px: float, depth: int = -1) -> np.ndarray:
    """A Gaussian over three sigmas, as `edges.gaussian_weights` has it; at the image's border pixels repeat.

    `depth` is OpenCV's, of the result; -1 is the image's own.

    Source: ours.
    """
    side = 2 * math.ceil(3 * sigma_px) + 1
    kernel = _gaussian(side, sigma_px)
    # GaussianBlur is a third slower here: on bytes it works in fixed point.
    return np.asarray(cv2.sepFilter2D(image, depth, kernel, kernel, borderType=cv2.BORDER_REPLICATE))


@cache
def _gaussian(side: int, sigma_px: float) -> np.ndarray:
    return np.asarray(cv2.getGaussianKernel(side, sigma_px))


def _line_kernel(seed: int) -> Float32[np.ndarray, "side side"]:
    """A line of 3 to 9 px in a direction drawn from the seed."""
    draw = np.random.default_rng(seed)
    length, angle = int(draw.integers(1, 5)), draw.uniform(0, np.pi)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    for t in np.linspace(-length, length, 8 * length + 1):
        kernel[round(t * np.sin(angle)) + length, round(t * np.cos(angle)) + length] += 1
    kernel /= kernel.sum()
    return kernel


def _region(canvas: _Colour, layer: Warped) -> UInt8[np.ndarray, "lh lw 3"]:
    (left, top), (height, width) = layer.origin, layer.mask.shape
    return canvas[top : top + height, left : left + width]


def _three(alpha: _Alpha) -> _Colour:
    return np.asarray(cv2.merge([alpha, alpha, alpha]))


def straight(rgba: UInt16[np.ndarray, "h w 4"], *, divide: bool = True) -> _Colour:
    """The premultiplied colour divided by its alpha, as bytes: only the rim needs the division.

    Source: ours.
    """
    colour = np.asarray(cv2.cvtColor(cv2.convertScaleAbs(rgba, alpha=1 / 257), cv2.COLOR_RGBA2RGB))
    if divide:
        warped = np.asarray(cv2.extractChannel(rgba, 3)).reshape(-1)
        rim = np.flatnonzero((warped - 1) < 65534)  # neither 0, which wraps round, nor full
        ratio = rgba.reshape(-1, 4)[rim, :3] * (np.float32(255) / warped[rim])[:, None]
        colour.reshape(-1, 3)[rim] = np.minimum(ratio + np.float32(0.5), 255)
    return colour


def _poisson(canvas: _Colour, layer: Warped) -> bool:
    """Clone the object into the canvas, and return True; return False, and draw nothing, where it would be lost.

    `seamlessClone` fails where the mask touches a border: pad the canvas by its own rim, clone, crop.
    """
    x, y, width, height = cv2.boundingRect(layer.whole)
    pad = _POISSON_PAD_PX
    left, top = layer.whole_origin[0] + x - pad, layer.whole_origin[1] + y - pad
    right, bottom = left + width + 2 * pad, top + height + 2 * pad
    box = (
        max(left, 0),
        max(top, 0),
        min(right, canvas.shape[1]),
        min(bottom, canvas.shape[0]),
    )
    if box[0] >= box[2] or box[1] >= box[3]:
        return True
    part = canvas[box[1] : box[3], box[0] : box[2]]
    sides = (box[1] - top, bottom - box[3], box[0] - left, right - box[2])
    under = np.asarray(cv2.copyMakeBorder(part, *sides, cv2.BORDER_REPLICATE))
    mask = layer.whole[y : y + height, x : x + width]
    mask = np.asarray(cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT))
    # Beyond the border the object repeats its last pixels, as the canvas does: no gradient, nothing to carry in.
    assert layer.colour is not None
    seen = np.asarray(cv2.copyTo(layer.colour, layer.mask, _region(canvas, layer).copy()))
    inner = seen[
        box[1] - layer.origin[1] : box[3] - layer.origin[1],
        box[0] - layer.origin[0] : box[2] - layer.origin[0],
    ]
    over = np.asarray(cv2.copyMakeBorder(np.ascontiguousarray(inner), *sides, cv2.BORDER_REPLICATE))
    # The clone is centred on the mask's own bounding box, whose corner is at `pad`; it overwrites its mask.
    cloned = cv2.seamlessClone(
        over,
        under,
        np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=_POISSON_GROWN_PX)),
        (pad + width // 2, pad + height // 2),
        cv2.NORMAL_CLONE,
    )
    window = slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)
    drawn, within = np.ascontiguousarray(cloned[window]), np.ascontiguousarray(mask[window])
    plain = np.ascontiguousarray(over[window])
    if _seen_px(drawn, part, within) < _LOST_SHARE * _seen_px(plain, part, within):
        return False
    # The solver rounds around the mask too; the background keeps its bits.
    cv2.copyTo(drawn, within, part)
    return True


def _seen_px(image: _Colour, canvas: _Colour, mask: _Alpha) -> int:
    return int(np.count_nonzero((cv2.absdiff(image, canvas).max(axis=2) > _SEEN_LEVELS) & (mask > 0)))
