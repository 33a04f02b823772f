"""Batches of real images and of composites, with the same patches on both."""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from terse.compositing.artefacts import draw_patches, paste_patches
from terse.protocols import Prefetches, RealImages
from terse.training.pool_images import PoolImages
from terse.training.session import Session
from terse.types import Truth

__all__ = ["mixed_batch", "prefetch", "prefetch_mixed", "with_artefacts"]


def with_artefacts(session: Session, images: Tensor, truth: Truth, generator: torch.Generator) -> Tensor:
    """Patches of other backgrounds, at one rate on real and synthetic images: pasting gives nothing away.

    Source: paper 3.1.
    """
    settings, context = session.recipe.artefacts, session.players.context
    if settings.count == 0 or settings.probability == 0:
        return images
    size_px = (images.shape[-2], images.shape[-1])
    blur_px = session.recipe.edges.blur_sigma_px if session.recipe.edges is not None else 0.0
    banks = (context.foregrounds, context.backgrounds)
    patches = draw_patches(truth, size_px, *banks, context.poses, settings, generator, blur_sigma_px=blur_px)
    return paste_patches(images, patches, context.render)


def mixed_batch(real: RealImages, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]) -> tuple[Tensor, Truth]:
    """Real images and composites of the pool, whose numbers come after those of all real ones.

    Source: paper 3.4.
    """
    of_pool = numbers >= len(real)
    images, truth = real.fetch(numbers[~of_pool])
    if pool is None or not of_pool.any():
        return images, truth
    made, made_truth = pool.fetch(numbers[of_pool] - len(real))
    return torch.cat([images, made]), Truth.join([truth, made_truth])


def prefetch_mixed(real: RealImages, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]) -> None:
    """Have what `mixed_batch` will ask for decoded while the step runs.

    Source: ours.
    """
    of_pool = numbers >= len(real)
    prefetch(real, numbers[~of_pool])
    if pool is not None:
        prefetch(pool, numbers[of_pool] - len(real))


def prefetch(images: object, numbers: Int64[np.ndarray, " b"]) -> None:
    """Have these decoded while the step runs, where the source can.

    Source: ours.
    """
    if isinstance(images, Prefetches):
        images.prefetch(numbers)
