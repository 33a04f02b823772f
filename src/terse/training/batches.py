"""Batches of real images and of composites, with the same patches on both."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from terse.compositing.artefacts import draw_patches, paste_patches
from terse.protocols import Prefetches, RealImages
from terse.training.pool_images import PoolImages
from terse.training.session import Session
from terse.types import Truth

__all__ = ["composites_of", "mixed_batch", "prefetch", "prefetch_mixed", "with_artefacts"]


def with_artefacts(
    session: Session, images: Tensor, truth: Truth, own: Int64[np.ndarray, " b"], generator: torch.Generator
) -> Tensor:
    """Patches of other backgrounds, at one rate on real and synthetic images: pasting gives nothing away.

    Where one kind has less room for patches, the other has as few. `own` is each image's background number, -1 for
    none: no patch comes from its own image.

    Source: paper 3.1.
    """
    settings, materials = session.recipe.artefacts, session.players.materials
    if settings.count == 0 or settings.probability == 0:
        return images
    size_px = (images.shape[-2], images.shape[-1])
    blur_px = session.recipe.edges.blur_sigma_px if session.recipe.edges is not None else 0.0
    banks = (materials.foregrounds, materials.backgrounds)
    drawing = (*banks, materials.poses, settings, generator)
    patches = draw_patches(truth, size_px, *drawing, blur_sigma_px=blur_px, own=own, fake=composites_of(truth))
    return paste_patches(images, patches, materials.render)


def composites_of(truth: Truth) -> Bool[Tensor, " b"]:
    """Which images hold something that was pasted.

    Source: ours.
    """
    fake = torch.zeros(truth.batch_size, dtype=torch.bool)
    fake[truth.image_index[truth.pasted].cpu()] = True
    return fake


def mixed_batch(
    session: Session, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]
) -> tuple[Tensor, Truth, Int64[np.ndarray, " b"]]:
    """Real images and composites of the pool, whose numbers come after those of all real ones.

    A pool smaller than its numbers begins anew at its end.

    Returns:
        Images, truth, and the number of each image's own background, -1 where the bank does not hold it.

    Source: paper 3.4.
    """
    real = session.players.train
    of_pool = numbers >= len(real)
    images, truth = real.fetch(numbers[~of_pool])
    truth = truth.with_only(*session.recipe.needs)
    own = session.players.materials.background_of_real[numbers[~of_pool]]
    if pool is None or not of_pool.any():
        return images, truth, own
    rows = (numbers[of_pool] - len(real)) % len(pool)
    made, made_truth = pool.fetch(rows)
    below = pool.placements.background[rows]
    return torch.cat([images, made]), Truth.join([truth, made_truth]), np.concatenate([own, below])


def prefetch_mixed(real: RealImages, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]) -> None:
    """Have what `mixed_batch` will ask for decoded while the step runs.

    Source: ours.
    """
    of_pool = numbers >= len(real)
    prefetch(real, numbers[~of_pool])
    if pool is not None:
        prefetch(pool, (numbers[of_pool] - len(real)) % len(pool))


def prefetch(images: object, numbers: Int64[np.ndarray, " b"]) -> None:
    """Have these decoded while the step runs, where the source can.

    Source: ours.
    """
    if isinstance(images, Prefetches):
        images.prefetch(numbers)
