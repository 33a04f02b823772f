"""How a warped cut-out goes into a uint8 canvas: the paper's edges and five other blends."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from terse.errors import DataError

__all__ = ["BLENDS", "Layer", "blend_layer"]

BLENDS = ("alpha", "gaussian", "box", "motion", "none", "poisson")
_Colour = UInt8[np.ndarray, "h w 3"]
_Alpha = UInt8[np.ndarray, "h w"]
# seamlessClone takes three pixels off the mask; what is left of a smaller object is not worth solving for.
_POISSON_MIN_PX = 12
_POISSON_PAD_PX = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A warped cut-out, cut at the canvas's border: its corner lies at `origin` (x, y) of the canvas.

    `whole` is the mask again with what is beyond the border, its corner at `whole_origin`.
    """

    rgba: UInt8[np.ndarray, "h w 4"]  # premultiplied
    alpha: UInt8[np.ndarray, "h w"]  # after the paper's edges
    mask: UInt8[np.ndarray, "h w"]  # 0 or 255
    origin: tuple[int, int]
    whole: UInt8[np.ndarray, "wh ww"]
    whole_origin: tuple[int, int]


def blend_layer(canvas: UInt8[np.ndarray, "h w 3"], layer: Layer, blend: str, seed: int) -> None:
    """Blend the layer into the canvas, in place.

    `alpha` is the paper's: blurred binary mask, or the warped mask as it is. `gaussian` (5x5, sigma 2) and
    `box` (3x3) soften the mask, as Dwibedi et al. do; colour beyond the rim is carried outwards from the
    object, so nothing of the cut-out's old background shows. `motion` smears the object along a line. `none` is
    the mask. `poisson` is `seamlessClone`.

    Raises:
        DataError: no such blend.

    Source: alpha: paper A.2. The others: Dwibedi et al. 2017 (Cut, Paste and Learn); Perez et al. 2003.
    """
    if blend not in BLENDS:
        raise DataError(f"blend: expected one of {', '.join(BLENDS)}, got {blend!r}")
    if blend == "poisson" and min(cv2.boundingRect(layer.whole)[2:]) >= _POISSON_MIN_PX:
        _poisson(canvas, layer)
        return
    if blend == "motion":
        colour, alpha = _motion(layer, seed)
    elif blend in ("gaussian", "box"):
        colour, alpha = _carried_out(layer, blend)
    elif blend == "none":
        colour, alpha = np.asarray(cv2.copyTo(_straight(layer.rgba), layer.mask)), layer.mask
    else:
        colour, alpha = _times(_straight(layer.rgba), layer.alpha), layer.alpha
    region = _region(canvas, layer)
    cv2.add(_times(region, np.asarray(cv2.bitwise_not(alpha))), colour, dst=region)


def _region(canvas: _Colour, layer: Layer) -> _Colour:
    (left, top), (height, width) = layer.origin, layer.mask.shape
    return canvas[top : top + height, left : left + width]


def _carried_out(layer: Layer, blend: str) -> tuple[_Colour, _Alpha]:
    """Soften the binary mask both ways; outside it, the colour is the mean of the object's near by."""
    straight = _straight(layer.rgba)
    inner = cv2.merge([*cv2.split(cv2.copyTo(straight, layer.mask)), layer.mask])
    soft = (
        cv2.GaussianBlur(inner, (5, 5), 2.0, borderType=cv2.BORDER_REPLICATE)
        if blend == "gaussian"
        else cv2.blur(inner, (3, 3), borderType=cv2.BORDER_REPLICATE)
    )
    alpha = np.asarray(cv2.extractChannel(soft, 3))
    # Outside the mask the blur is premultiplied already; inside, the sharp colour goes under the soft alpha.
    colour = cv2.cvtColor(soft, cv2.COLOR_RGBA2RGB)
    return np.asarray(cv2.copyTo(_times(straight, alpha), layer.mask, colour)), alpha


def _motion(layer: Layer, seed: int) -> tuple[_Colour, _Alpha]:
    """Everything smeared along a line of 3 to 9 px in a direction drawn from the seed."""
    draw = np.random.default_rng(seed)
    length, angle = int(draw.integers(1, 5)), draw.uniform(0, np.pi)
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    for t in np.linspace(-length, length, 8 * length + 1):
        kernel[round(t * np.sin(angle)) + length, round(t * np.cos(angle)) + length] += 1
    inner = cv2.merge([*cv2.split(cv2.copyTo(_straight(layer.rgba), layer.mask)), layer.mask])
    smeared = cv2.filter2D(inner, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(smeared, cv2.COLOR_RGBA2RGB)), np.asarray(cv2.extractChannel(smeared, 3))


def _straight(rgba: UInt8[np.ndarray, "h w 4"]) -> _Colour:
    """The premultiplied colour divided by its alpha: only the rim differs."""
    colour = np.asarray(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB))
    warped = np.asarray(cv2.extractChannel(rgba, 3)).reshape(-1)
    rim = np.flatnonzero((warped - 1) < 254)  # neither 0, which wraps to 255, nor 255
    flat = colour.reshape(-1, 3)
    flat[rim] = np.minimum(flat[rim] * (np.float32(255) / warped[rim])[:, None] + np.float32(0.5), 255)
    return colour


def _times(colour: _Colour, alpha: _Alpha) -> _Colour:
    return np.asarray(cv2.multiply(colour, cv2.merge([alpha, alpha, alpha]), scale=1 / 255))


def _poisson(canvas: _Colour, layer: Layer) -> None:
    """`seamlessClone` fails where the mask touches a border: pad the canvas by its own rim, clone, crop."""
    x, y, width, height = cv2.boundingRect(layer.whole)
    pad = _POISSON_PAD_PX
    left, top = layer.whole_origin[0] + x - pad, layer.whole_origin[1] + y - pad
    right, bottom = left + width + 2 * pad, top + height + 2 * pad
    box = max(left, 0), max(top, 0), min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    part = canvas[box[1] : box[3], box[0] : box[2]]
    sides = (box[1] - top, bottom - box[3], box[0] - left, right - box[2])
    under = np.asarray(cv2.copyMakeBorder(part, *sides, cv2.BORDER_REPLICATE))
    mask = layer.whole[y : y + height, x : x + width]
    mask = np.asarray(cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_CONSTANT))
    # Beyond the border the object repeats its last pixels, as the canvas does: no gradient, nothing to carry in.
    seen = np.asarray(cv2.copyTo(_straight(layer.rgba), layer.mask, _region(canvas, layer).copy()))
    inner = seen[
        box[1] - layer.origin[1] : box[3] - layer.origin[1], box[0] - layer.origin[0] : box[2] - layer.origin[0]
    ]
    over = np.asarray(cv2.copyMakeBorder(np.ascontiguousarray(inner), *sides, cv2.BORDER_REPLICATE))
    # The clone is centred on the mask's own bounding box, whose corner is at `pad`.
    cloned = cv2.seamlessClone(over, under, mask, (pad + width // 2, pad + height // 2), cv2.NORMAL_CLONE)
    window = slice(box[1] - top, box[3] - top), slice(box[0] - left, box[2] - left)
    # The solver rounds around the mask too; the background keeps its bits.
    cv2.copyTo(np.ascontiguousarray(cloned[window]), np.ascontiguousarray(mask[window]), part)
