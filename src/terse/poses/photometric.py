"""Photometric poses: light, colour and sharpness of the cut-outs, or of the whole picture."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field

from terse.config import Component, Fraction, ascending
from terse.draws import integers, normal, seeds_of
from terse.poses.family import PoseFamily
from terse.registry import register

if TYPE_CHECKING:
    from jaxtyping import Float, Int64
    from torch import Tensor

    from terse.types import Foregrounds

__all__ = ["PhotometricConfig", "PhotometricPoses"]

_LUMA = (0.299, 0.587, 0.114)
_DARKEST = 1 / 1024  # below it gamma is a straight line: a power's slope has no bound at 0
_SHOULDER = 8.0
_TILE_PX = 512
_LEAST_ALPHA = 1e-3

_Log = Annotated[float, Field(ge=-10, le=10)]
_Logs = Annotated[tuple[_Log, _Log], AfterValidator(ascending)]
_Factor = Annotated[float, Field(ge=0)]
_Gain = Annotated[float, Field(gt=-1)]
_Factors = Annotated[tuple[_Factor, _Factor], AfterValidator(ascending)]
_Gains = Annotated[tuple[_Gain, _Gain], AfterValidator(ascending)]
_Shares = Annotated[tuple[Fraction, Fraction], AfterValidator(ascending)]


@register("pose", "photometric")
class PhotometricConfig(Component["PhotometricPoses"]):
    """Exposure, gamma, contrast, tint, saturation, blur, noise and vignette, each in its own range."""

    kind: Literal["photometric"] = "photometric"
    on: Literal["foreground", "image"] = "foreground"
    """What is changed: each cut-out before it is pasted, or the whole picture once everything is."""
    exposure: _Logs = (-0.6, 0.6)
    """Logarithm of a factor on stored values; 0 changes nothing. What is made brighter nears white and is not cut off."""
    gamma: _Logs = (-0.4, 0.4)
    """Logarithm of the exponent; below 0 is brighter."""
    contrast: _Factors = (0.75, 1.25)
    """Factor on the distance from mid-grey."""
    tint: _Gains = (-0.15, 0.15)
    """What red, and apart from it blue, gain against green."""
    saturation: _Factors = (0.6, 1.4)
    """Factor on the distance from grey of the same brightness; 0 is black and white."""
    blur: _Shares = (0.0, 0.005)
    """Sigma of a Gaussian over the shorter side of what is changed."""
    noise: _Shares = (0.0, 0.03)
    """Standard deviation of normal noise at each pixel of what is changed."""
    vignette: _Shares | None = None
    """How much darker the corners are; null takes 0 to 0.4 on an image, none on a foreground."""

    def build(self) -> PhotometricPoses:
        """The pose family."""
        vignette = self.vignette or ((0.0, 0.4) if self.on == "image" else (0.0, 0.0))
        return PhotometricPoses(
            (
                *(self.exposure, self.gamma, self.contrast, self.tint, self.tint),
                *(self.saturation, self.blur, self.noise, vignette),
            ),
            on=self.on,
        )


class PhotometricPoses(PoseFamily):
    """Nine bounded numbers a pose, and the colours that they make, in the order of `names`.

    Acts on values as they are stored, not on linear light. Pictures with one channel have no tint and no saturation.

    Args:
        ranges: the limits of each number.
        on: whether a pose changes each foreground or the whole image.

    Source: ours; METHOD's order and ranges, after the distortions of SSD (Liu et al. 2016).
    """

    kind = "photometric"
    names = ("exposure", "gamma", "contrast", "tint_red", "tint_blue", "saturation", "blur", "noise", "vignette")
    neutral = (0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)

    def __init__(
        self, ranges: tuple[tuple[float, float], ...], *, on: Literal["foreground", "image"] = "foreground"
    ) -> None:
        self.ranges = ranges
        self.on = "image" if on == "image" else "paste"

    def prepare(self, cut: Foregrounds, pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]) -> Foregrounds:
        """The foregrounds in another light; their masks stay."""
        images = cut.images
        if images.shape[-2:] == (1, 1) and bool((pose[:, 6:] != 0).any()):
            images = images.expand(-1, -1, *cut.alpha.shape[-2:])
        return replace(cut, images=self._changed(images, pose, seeds, cut.alpha))

    def finish(
        self, images: Float[Tensor, "b c h w"], pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """The whole pictures in another light."""
        return self._changed(images, pose, seeds, None)

    def _changed(self, images: Tensor, pose: Tensor, seeds: Tensor, alpha: Tensor | None) -> Tensor:
        """All changes; a value that changes nothing leaves every bit, whatever the rest of the batch does."""
        import torch

        exposure, gamma, contrast, red, blue, saturation, blur, noise, vignette = (
            part.view(-1, 1, 1, 1) for part in pose.t().contiguous().unbind(0)
        )
        gain = exposure.exp()
        if images.shape[1] == 3:
            gain = torch.cat([gain * (1 + red), gain, gain * (1 + blue)], dim=1)
        # A film's shoulder: what is made brighter nears white instead of being cut off there, so it keeps its gradient.
        shoulder = (gain - 1) * torch.sigmoid(_SHOULDER * (gain - 1))
        seen = images * gain / (1 + shoulder * images)
        # x to the power g, as x exp((g - 1) log x): exactly x where g is 1.
        seen = seen * torch.exp((gamma.exp() - 1) * seen.clamp(min=_DARKEST).log())
        seen = seen + (contrast - 1) * (seen - 0.5)
        if images.shape[1] == 3:
            grey = sum(weight * seen[:, k : k + 1] for k, weight in enumerate(_LUMA))
            seen = seen + (saturation - 1) * (seen - grey)
        if bool((blur != 0).any()):
            seen = _blurred(seen, blur.flatten(), alpha)
        if bool((vignette != 0).any()):
            seen = seen * (1 - vignette * _corners(seen))
        if bool((noise != 0).any()):
            seen = seen + noise * _grain(seen, seeds)
        return seen.clamp(0, 1)


def _blurred(images: Tensor, sigma: Tensor, alpha: Tensor | None) -> Tensor:
    """Each image under its own Gaussian; behind a mask its own colours alone are mixed."""
    import torch

    from terse.colour import blurred

    sigma_px = sigma * min(images.shape[-2:])
    if alpha is None:
        return blurred(images, sigma_px)
    soft = blurred(torch.cat([images * alpha, alpha], dim=1), sigma_px)
    return torch.where((sigma > 0)[:, None, None, None], soft[:, :-1] / soft[:, -1:].clamp(min=_LEAST_ALPHA), images)


def _corners(images: Tensor) -> Tensor:
    """The squared distance from the middle, 1 in the corners."""
    import torch

    y, x = (
        (2 * torch.arange(side, device=images.device, dtype=images.dtype) + 1) / side - 1 for side in images.shape[-2:]
    )
    return (x.square()[None, :] + y.square()[:, None]) / 2


def _grain(images: Tensor, seeds: Tensor) -> Tensor:
    """Normal noise that is a function of each seed and the size alone: a fixed tile, moved."""
    import torch

    channels, height, width = images.shape[1:]
    tile = torch.from_numpy(_tile(height // _TILE_PX + 2, width // _TILE_PX + 2)).to(images)
    of_seed = seeds.cpu().numpy().astype(np.uint64)
    tops, lefts = integers(of_seed, "grain y", _TILE_PX).tolist(), integers(of_seed, "grain x", _TILE_PX).tolist()
    corners = zip(tops, lefts, strict=True)
    return torch.stack([tile[:channels, top : top + height, left : left + width] for top, left in corners])


@cache
def _tile(down: int, across: int) -> Float[np.ndarray, "3 height width"]:
    """The tile, repeated."""
    drawn = normal(seeds_of("grain", count=_TILE_PX), "tile", 3 * _TILE_PX)
    one = drawn.reshape(_TILE_PX, 3, _TILE_PX).transpose(1, 0, 2).astype(np.float32)
    return np.tile(one, (1, down, across))
