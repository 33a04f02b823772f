"""Batches of real images and of composites, with the same patches on both."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from terse.compositing.artefacts import draw_patches, paste_patches
from terse.protocols import Prefetches
from terse.training.pool_images import PoolImages
from terse.training.ranks import Share
from terse.training.session import Session
from terse.types import Truth

__all__ = ["composites_of", "mixed_batch", "prefetch", "prefetch_mixed", "with_artefacts"]


def with_artefacts(
    session: Session,
    images: Tensor,
    truth: Truth,
    own: Int64[np.ndarray, " b"],
    generator: torch.Generator,
    share: Share | None = None,
) -> Tensor:
    """Patches of other backgrounds, at one rate on real and synthetic images: pasting gives nothing away.

    Where one kind has less room for patches, the other has as few. `own` is each image's background number, -1 for
    none: no patch comes from its own image. The patches of the whole batch are drawn, of which these images are a share.

    Source: paper 3.1.
    """
    settings, materials = session.recipe.artefacts, session.players.materials
    if settings.count == 0 or settings.probability == 0:
        return images
    size_px = (images.shape[-2], images.shape[-1])
    if share is not None and share.sharing > 1:
        parts = session.engine.ranks.each((truth.with_only().to("cpu"), own))
        truth, own = share.whole([part[0] for part in parts]), share.whole_array([part[1] for part in parts])
    banks = (materials.foregrounds, materials.backgrounds)
    drawing = (*banks, materials.poses, settings, generator)
    patches = draw_patches(truth, size_px, *drawing, edges=materials.edges, own=own, fake=composites_of(truth))
    if share is not None and share.sharing > 1:
        patches = patches.take(share.rows)
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
) -> tuple[tuple[Tensor, Truth, Int64[np.ndarray, " own"]], Share]:
    """Real images and composites of the pool, whose numbers come after those of all real ones: this process's share.

    A pool smaller than its numbers begins anew at its end.

    Returns:
        Images, truth, and the number of each image's own background, -1 where the bank does not hold it; and the share.

    Source: paper 3.4.
    """
    share = session.engine.ranks.share(len(numbers))
    return _batch_of(session, pool, _own(session, numbers)), share


def _own(session: Session, numbers: Int64[np.ndarray, " b"]) -> Int64[np.ndarray, " own"]:
    """Of a batch whose real images come first, this process's share."""
    real_first = np.argsort(numbers >= len(session.players.train), kind="stable")
    own: Int64[np.ndarray, " own"] = numbers[real_first][session.engine.ranks.share(len(numbers)).rows]
    return own


def _batch_of(
    session: Session, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]
) -> tuple[Tensor, Truth, Int64[np.ndarray, " b"]]:
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


def prefetch_mixed(session: Session, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]) -> None:
    """Have what `mixed_batch` will ask for decoded while the step runs.

    Source: ours.
    """
    real, numbers = session.players.train, _own(session, numbers)
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
