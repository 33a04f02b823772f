"""Stages of a pose family that are computed in torch, for pixels of the raster path: cut-out, what lies below, whole picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float64, UInt8, UInt16

from terse.compositing.blend import Warped
from terse.poses.posed import RasterPose

if TYPE_CHECKING:
    import torch

    from terse.poses import PoseFamily
    from terse.types import ViewSphere

__all__ = ["finish", "prepared", "shade"]


def finish(
    canvas: UInt8[np.ndarray, "h w 3"],
    family: PoseFamily,
    pose: Float64[np.ndarray, " k"],
    seed: int = 0,
    *,
    bgr: bool = False,
    grey: bool = False,
) -> None:
    """What a family does to the whole picture once everything is pasted, in place; a grey one has one channel.

    Source: ours.
    """
    import torch

    floats = _floats(canvas, bgr=bgr)
    changed = family.finish(floats[:, :1] if grey else floats, _row(pose), torch.tensor([seed]))
    canvas[:] = _bytes(changed.expand(-1, 3, -1, -1), bgr=bgr)


def prepared(
    rgba: UInt16[np.ndarray, "h w 4"], views: ViewSphere | None, where: RasterPose, *, bgr: bool, grey: bool
) -> UInt16[np.ndarray, "h w 4"]:
    """The premultiplied cut-out as a family's stage in torch leaves it; a grey one has one channel.

    Source: ours.
    """
    import torch

    from terse.poses.maps import support_points
    from terse.types import Foregrounds

    whole = torch.from_numpy(rgba.astype(np.float32)).permute(2, 0, 1)[None] / 65535
    alpha = whole[:, 3:]
    colour = torch.where(alpha > 0, whole[:, :3] / alpha.clamp(min=1e-6), 0.0).clamp(max=1)
    cut = Foregrounds(
        colour[:, :1] if grey else colour.flip(1) if bgr else colour,
        alpha,
        torch.zeros(1, dtype=torch.int64),
        support_points(alpha),
        views=None if views is None else (views,),
    )
    cut = where.family.prepare(cut, _row(where.pose), torch.tensor([where.seed]))
    colour, alpha = cut.images.flip(1) if bgr else cut.images, cut.alpha
    made = torch.cat([colour.expand(-1, 3, *alpha.shape[-2:]) * alpha, alpha], dim=1)[0].detach()
    pixels = np.rint(made.clamp(0, 1).permute(1, 2, 0).numpy() * np.float32(65535)).astype(np.uint16)
    return np.ascontiguousarray(pixels)


def shade(canvas: UInt8[np.ndarray, "h w 3"], layer: Warped, where: RasterPose, *, bgr: bool) -> None:
    """What lies below, as a family's stage in torch leaves it, in place.

    Source: ours.
    """
    import torch

    (left, top), (height, width) = layer.origin, layer.alpha.shape
    alpha = torch.zeros(1, 1, *canvas.shape[:2])
    alpha[0, 0, top : top + height, left : left + width] = torch.from_numpy(layer.alpha) / 255
    canvas[:] = _bytes(where.family.shade(_floats(canvas, bgr=bgr), alpha, _row(where.pose)), bgr=bgr)


def _row(pose: Float64[np.ndarray, " k"]) -> Float[torch.Tensor, "1 k"]:
    import torch

    return torch.from_numpy(pose).float()[None]


def _floats(canvas: UInt8[np.ndarray, "h w 3"], *, bgr: bool) -> Float[torch.Tensor, "1 3 h w"]:
    import torch

    rgb = canvas[..., ::-1] if bgr else canvas
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None].float() / 255


def _bytes(image: Float[torch.Tensor, "1 3 h w"], *, bgr: bool) -> UInt8[np.ndarray, "h w 3"]:
    rgb = image[0].detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
    return rgb[..., ::-1] if bgr else rgb
