"""Foreground-shaped patches of other backgrounds, so that a pasted region gives nothing away (paper 3.1, Fig. 5).

Drawing says what goes where, as plain arrays that a placement can hold; pasting does it.
"""

import math
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from terse.placements import Placements, Role
from terse.poses import PoseFamily
from terse.protocols import BackgroundBank, ForegroundBank
from terse.recipe_parts import ArtefactConfig, EdgeConfig
from terse.types import Foregrounds, Truth

__all__ = ["draw_patches", "paste_patches", "textured"]

_POSES = 64  # tried for a patch before its image goes without
_AT_ONCE = 8  # poses looked at together: most patches fit soon
_TEXTURES = 4
_ROUNDING = 1e-9
_REACH_PX = 3  # a halved mask's border reaches two pixels further than its hull


@runtime_checkable
class PasteRenderer(Protocol):
    """What is used of a renderer."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank

    def paste(
        self, images: Float[Tensor, "b c h w"], cut: Foregrounds, pose: Float[Tensor, "b k"]
    ) -> tuple[Float[Tensor, "b c h w"], object]:
        """One paste in every image."""
        ...


def draw_patches(
    truth: Truth,
    canvas_px: tuple[int, int],
    foregrounds: ForegroundBank,
    backgrounds: BackgroundBank,
    poses: PoseFamily,
    settings: ArtefactConfig,
    generator: torch.Generator,
    *,
    edges: EdgeConfig | None = None,
    own: Int64[np.ndarray, " b"] | None = None,
    fake: Bool[Tensor, " b"] | None = None,
) -> Placements:
    """Choose images, shapes, places and colours of patches for a batch, real or synthetic.

    The placements hold the patches alone. No patch comes near a box of `truth`, and none is cut from where its background holds a labelled object. Of
    several random poses the first that fits is taken; where none does, the image goes without.

    Args:
        truth: the batch's objects, pasted ones included.
        canvas_px: height and width of the images.
        foregrounds: shapes.
        backgrounds: colours.
        poses: the synthesizer's own family, so that patches and objects are cut alike.
        settings: how many, and in which share of the images.
        generator: the only randomness.
        edges: of patches and objects, which keep further away from each other where both are blurred.
        own: each image's background number, which its patches are not cut from; None where that has no meaning.
        fake: which images are composites; then as large a share of them has patches as of the others, whatever fits.

    Source: paper 3.1. Poses, rates and the way round objects are ours; the paper does not state them.
    """
    order = torch.rand(truth.batch_size, generator=generator)
    round_up = float(torch.rand((), generator=generator)) if fake is not None else 0.0
    chosen = order < settings.probability if fake is None else _shares(order, fake, settings.probability, round_up)
    images = torch.nonzero(chosen).flatten().repeat_interleave(settings.count)
    n = len(images)
    shapes = torch.randint(len(foregrounds), (n,), generator=generator).numpy()
    tried = poses.random(n * _POSES, generator)
    colours = torch.randint(len(backgrounds), (n, _TEXTURES), generator=generator).numpy()
    hull = foregrounds.fetch(shapes).hull
    # Rounded as a placement is, so that what was checked is what is drawn.
    rounded = np.round(tried.double().numpy(), 5)
    best = np.full(n, -1)
    for first in range(0, _POSES, _AT_ONCE):
        missing = np.flatnonzero(best < 0)
        if not len(missing):
            break
        some = rounded.reshape(n, _POSES, -1)[missing, first : first + _AT_ONCE].reshape(-1, rounded.shape[1])
        shape = hull[torch.from_numpy(missing)].repeat_interleave(_AT_ONCE, dim=0)
        reach = poses.extent(torch.from_numpy(some).float(), shape, canvas_px).float()
        margin_px = 2 * math.ceil(3 * (0.0 if edges is None else edges.blur_sigma_px)) + _REACH_PX  # both rims are soft
        reach = reach + torch.tensor([-margin_px, -margin_px, margin_px, margin_px])
        clear = _clear(reach, images[torch.from_numpy(missing)].repeat_interleave(_AT_ONCE), truth)
        fits = clear.view(-1, _AT_ONCE).numpy()
        best[missing[fits.any(axis=1)]] = first + fits.argmax(axis=1)[fits.any(axis=1)]
    if own is not None:
        colours = np.where(colours == own[images.numpy(), None], (colours + 1) % len(backgrounds), colours)
    texture, whole = _object_free(colours, hull, backgrounds)
    rows = np.flatnonzero((best >= 0) & whole)
    if fake is not None:
        fitting = torch.zeros(truth.batch_size, dtype=torch.bool)
        fitting[images[torch.from_numpy(rows)]] = True
        kept = _shares(torch.where(fitting, order, torch.inf), fake, _least_share(fitting, fake), 0.0)
        rows = rows[kept[images[torch.from_numpy(rows)]].numpy()]
    pose = rounded[np.arange(n) * _POSES + best]
    index = images.numpy()[rows]
    return Placements(
        background=np.full(truth.batch_size, -1) if own is None else own,
        image_index=index,
        foreground=shapes[rows],
        pose=pose[rows],
        role=np.full(len(index), int(Role.ARTEFACT), dtype=np.int64),
        texture=texture[rows],
        blend=("alpha",) * truth.batch_size,
        seed=np.zeros(truth.batch_size, dtype=np.int64),
    )


def paste_patches(
    images: Float[Tensor, "b c h w"], patches: Placements, render: PasteRenderer
) -> Float[Tensor, "b c h w"]:
    """The images with their patches, by the same warp, edges and blend as objects.

    Source: paper 3.1: "using the same blending function used by S".
    """
    for rows in patches.layers:
        where = torch.from_numpy(patches.image_index[rows]).to(images.device)
        cut = render.foregrounds.fetch(patches.foreground[rows])
        cut = textured(cut, render.backgrounds.fetch(patches.texture[rows]).images).to(images.device)
        pose = torch.from_numpy(patches.pose[rows]).float().to(images.device)
        drawn, _ = render.paste(images[where], cut, pose)
        images = images.index_copy(0, where, drawn)
    return images


def textured(cut: Foregrounds, backgrounds: Float[Tensor, "b c h w"]) -> Foregrounds:
    """The same shapes, their colour taken from backgrounds laid over the patch.

    So a patch's pixels are resampled exactly as an object's are: sharpness would give it away as well.

    Source: paper 3.1; laying the background over the patch is ours.
    """
    size = cut.alpha.shape[-2:]
    if backgrounds.shape[-2:] != size:
        backgrounds = functional.interpolate(backgrounds, size, mode="bilinear", antialias=True)
    return Foregrounds(backgrounds, cut.alpha, cut.labels, cut.hull)


def _shares(order: Float[Tensor, " b"], fake: Bool[Tensor, " b"], share: float, round_up: float) -> Bool[Tensor, " b"]:
    """The first ones of the order, so many that they are one share of the composites and of the others."""
    chosen = torch.zeros_like(fake)
    for group in (fake, ~fake):
        rows = torch.nonzero(group).flatten()
        count = math.floor(share * len(rows) + round_up + _ROUNDING)
        chosen[rows[order[rows].argsort(stable=True)[:count]]] = True
    return chosen


def _least_share(held: Bool[Tensor, " b"], fake: Bool[Tensor, " b"]) -> float:
    """Of the composites or of the others, where there are both."""
    return min(float(held[group].cpu().double().mean()) for group in (fake, ~fake) if bool(group.any()))


def _clear(boxes: Float[Tensor, "n 4"], images: Int64[Tensor, " n"], truth: Truth) -> Bool[Tensor, " n"]:
    """Which of the boxes meet no object of their own image."""
    objects, index = truth.boxes_px.cpu(), truth.image_index.cpu()
    meets = (boxes[:, None, :2] < objects[:, 2:]).all(dim=-1) & (boxes[:, None, 2:] > objects[:, :2]).all(dim=-1)
    return ~(meets & (images[:, None] == index)).any(dim=1)


def _object_free(
    numbers: Int64[np.ndarray, "n tries"], hull: Float[Tensor, "n points 2"], backgrounds: BackgroundBank
) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """The first background of each patch without an object where the shape lies, and whether there is one."""
    texture, found = numbers[:, 0].copy(), np.zeros(len(numbers), dtype=np.bool_)
    shape = torch.cat([hull.amin(dim=1), hull.amax(dim=1)], dim=1)
    for attempt in range(numbers.shape[1]):
        rows = np.flatnonzero(~found)
        if not len(rows):
            break
        held = backgrounds.fetch(numbers[rows, attempt])
        height, width = held.images.shape[-2:]
        on_background = (shape[rows] + 1) / 2 * torch.tensor([width, height, width, height])
        clear = _clear(on_background, torch.arange(len(rows)), held.truth).numpy()
        texture[rows[clear]], found[rows[clear]] = numbers[rows[clear], attempt], True
    return texture, found
