"""How a warped cut-out goes into a uint8 canvas: the paper's edges and five other blends."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8

from terse.errors import DataError

__all__ = ["BLENDS", "Layer", "blend_layer"]

BLENDS = ("alpha", "gaussian", "box", "motion", "none", "poisson")
_Box = tuple[int, int, int, int]
_Colour = UInt8[np.ndarray, "h w 3"]
_Alpha = UInt8[np.ndarray, "h w"]
# seamlessClone takes three pixels off the mask; what is left of a smaller object is not worth solving for.
_POISSON_MIN_PX = 12
_POISSON_PAD_PX = 4


@dataclass(frozen=True, slots=True)
class Layer:
    """A warped cut-out: premultiplied RGBA whose corner lies at `origin` (x, y) of the canvas, maybe outside.

    `mask` is the object before softening (0 or 255); `hard` says whether `blur_sigma_px` softens that mask, or
    the warped alpha is blended as it is.
    """

    rgba: UInt8[np.ndarray, "h w 4"]
    mask: UInt8[np.ndarray, "h w"]
    origin: tuple[int, int]
    hard: bool
    blur_sigma_px: float


def blend_layer(canvas: UInt8[np.ndarray, "h w 3"], layer: Layer, inside: _Box, blend: str, seed: int) -> None:
    """Blend the part of the layer that is inside the box (canvas pixels) into the canvas, in place.

    `alpha` is the paper's: blurred binary mask, or the warped mask as it is. `gaussian` (5x5, sigma 2) and
    `box` (3x3) soften the binary mask, as Dwibedi et al. do; colour beyond the rim is carried outwards from the
    object, so nothing of the cut-out's old background shows. `motion` smears the object along a line. `none` is
    the binary mask. `poisson` is `seamlessClone`.

    Raises:
        DataError: no such blend.

    Source: alpha: paper A.2. The others: Dwibedi et al. 2017 (Cut, Paste and Learn); Perez et al. 2003.
    """
    if blend not in BLENDS:
        raise DataError(f"blend: expected one of {', '.join(BLENDS)}, got {blend!r}")
    if blend == "poisson" and min(cv2.boundingRect(layer.mask)[2:]) >= _POISSON_MIN_PX:
        _poisson(canvas, layer)
        return
    if blend == "motion":
        colour, alpha = _motion(layer, seed)
    elif blend in ("gaussian", "box"):
        colour, alpha = _carried_out(layer, blend)
    elif blend == "alpha":
        colour, alpha = _paper(layer)
    else:
        colour, alpha = np.asarray(cv2.copyTo(_straight(layer.rgba), layer.mask)), layer.mask
    _over(canvas, colour, alpha, layer.origin, inside)


def _paper(layer: Layer) -> tuple[_Colour, _Alpha]:
    """Premultiplied colour and alpha as `compose` makes them."""
    warped = np.asarray(cv2.extractChannel(layer.rgba, 3))
    if not layer.hard:
        return np.asarray(cv2.cvtColor(layer.rgba, cv2.COLOR_RGBA2RGB)), warped
    straight = _straight(layer.rgba)
    if not layer.blur_sigma_px:
        return np.asarray(cv2.copyTo(straight, layer.mask)), layer.mask
    radius = max(1, round(3 * layer.blur_sigma_px))
    kernel = (2 * radius + 1, 2 * radius + 1)
    soft = cv2.GaussianBlur(
        layer.mask.astype(np.float32), kernel, layer.blur_sigma_px, borderType=cv2.BORDER_CONSTANT
    )
    alpha = np.asarray(cv2.copyTo(cv2.convertScaleAbs(soft), warped))
    return _times(straight, alpha), alpha


def _carried_out(layer: Layer, blend: str) -> tuple[_Colour, _Alpha]:
    """Soften the binary mask both ways; outside it, the colour is the mean of the object's near by."""
    straight = _straight(layer.rgba)
    inner = cv2.merge([*cv2.split(cv2.copyTo(straight, layer.mask)), layer.mask])
    soft = cv2.GaussianBlur(inner, (5, 5), 2.0) if blend == "gaussian" else cv2.blur(inner, (3, 3))
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
    smeared = cv2.filter2D(inner, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)
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


def _over(canvas: _Colour, premultiplied: _Colour, alpha: _Alpha, origin: tuple[int, int], inside: _Box) -> None:
    """canvas (1 - alpha) + premultiplied."""
    left, top, right, bottom = inside
    rows, columns = slice(top - origin[1], bottom - origin[1]), slice(left - origin[0], right - origin[0])
    region = canvas[top:bottom, left:right]
    rest = cv2.bitwise_not(alpha[rows, columns])
    cv2.add(_times(region, np.asarray(rest)), premultiplied[rows, columns], dst=region)


def _poisson(canvas: _Colour, layer: Layer) -> None:
    """`seamlessClone` fails where the mask touches a border: pad the canvas by its own rim, clone, crop."""
    x, y, width, height = cv2.boundingRect(layer.mask)
    pad = _POISSON_PAD_PX
    left, top = layer.origin[0] + x - pad, layer.origin[1] + y - pad
    right, bottom = left + width + 2 * pad, top + height + 2 * pad
    box = max(left, 0), max(top, 0), min(right, canvas.shape[1]), min(bottom, canvas.shape[0])
    if box[0] >= box[2] or box[1] >= box[3]:
        return
    part = canvas[box[1] : box[3], box[0] : box[2]]
    sides = (box[1] - top, bottom - box[3], box[0] - left, right - box[2])
    under = np.asarray(cv2.copyMakeBorder(part, *sides, cv2.BORDER_REPLICATE))
    tight = slice(y, y + height), slice(x, x + width)
    mask = cv2.copyMakeBorder(layer.mask[tight], pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    over = under.copy()
    cv2.copyTo(np.ascontiguousarray(_straight(layer.rgba)[tight]), layer.mask[tight], over[pad:-pad, pad:-pad])
    # The clone is centred on the mask's own bounding box, whose corner is at `pad`.
    cloned = cv2.seamlessClone(over, under, mask, (pad + width // 2, pad + height // 2), cv2.NORMAL_CLONE)
    part[:] = cloned[box[1] - top : box[3] - top, box[0] - left : box[2] - left]
