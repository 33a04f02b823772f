"""Composites in the other blends: the scene is the same, the raster path draws its pixels."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from terse.compositing.raster import Edges, Sprite, draw
from terse.placements import Placements
from terse.poses import AffinePoses
from terse.types import Foregrounds

__all__ = ["reblend"]


def reblend(
    images: Float[Tensor, "b c h w"],
    backgrounds: Float[Tensor, "b c h w"],
    cuts: Sequence[Foregrounds],
    placements: Placements,
    poses: AffinePoses,
    edges: Edges | None,
) -> Float[Tensor, "b c h w"]:
    """The images with those of other blends than `alpha` drawn anew; the truth stays, it is the same in all blends.

    Args:
        images: all drawn with `alpha`.
        backgrounds: what they were drawn on.
        cuts: the cut-outs of each of the placements' layers.
        placements: what was drawn.
        poses: the family of the pastes' poses.
        edges: as the recipe has them.

    Source: Dwibedi et al. 2017: one scene in all blends.
    """
    others = [i for i, blend in enumerate(placements.blend) if blend != "alpha"]
    size_px = (images.shape[-2], images.shape[-1])
    canvases = {i: _bytes(backgrounds[i]) for i in others}
    for rows, cut in zip(placements.layers, cuts, strict=True):
        pose = torch.from_numpy(placements.pose[rows]).float().to(cut.hull.device)
        matrices = poses.matrix(pose, cut.hull, size_px).cpu().numpy()
        for row, image in enumerate(placements.image_index[rows].tolist()):
            if image not in canvases:
                continue
            rgba = torch.cat([cut.images[row].expand(-1, *cut.alpha.shape[-2:]), cut.alpha[row]])
            sprite = Sprite.of(_bytes(rgba))
            blend, seed = placements.blend[image], int(placements.seed[image])
            draw(canvases[image], sprite, matrices[row], edges=edges, blend=blend, seed=seed)
    out = images.clone()
    for i, canvas in canvases.items():
        drawn = torch.from_numpy(canvas).permute(2, 0, 1).to(images).div_(255)
        out[i] = drawn if images.shape[1] == 3 else drawn.mean(dim=0, keepdim=True)
    return out


def _bytes(image: Float[Tensor, "c h w"]) -> UInt8[np.ndarray, "h w rgb_or_rgba"]:
    """Rounded to bytes, channels last; grey becomes RGB, and RGB with alpha stays four."""
    if len(image) <= 2:
        image = torch.cat([image[:1].expand(3, -1, -1), image[1:]])
    flat = image.detach().cpu().clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(flat.permute(1, 2, 0).numpy())
