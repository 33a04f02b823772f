"""One update of the target, or of a reference, on real images and composites with the same patches and augmentation."""

from functools import partial

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from terse.evaluation.reference import ReferenceConfig
from terse.modes import learning
from terse.protocols import Trainable, counted_loss, trainable
from terse.recipe_parts import PhaseConfig
from terse.training.augment import augmented, relight
from terse.training.batches import with_artefacts
from terse.training.ranks import Share
from terse.training.session import Session
from terse.types import Truth

__all__ = ["target_step"]


def target_step(
    session: Session,
    settings: PhaseConfig | ReferenceConfig,
    optimizer: torch.optim.Optimizer,
    batch: tuple[Tensor, Truth, Int64[np.ndarray, " b"]],
    generator: torch.Generator,
    share: Share | None = None,
    *,
    reference: Trainable | None = None,
) -> float:
    """One update of the target on a mixed batch, of which this is a share, patched and augmented; the batch's loss.

    A reference learns likewise instead of the target, where one is given.

    Raises:
        Diverged: the loss is not finite.

    Source: paper 3.4; references are ours.
    """
    player, target = ("target", trainable(session.players.target)) if reference is None else ("reference", reference)
    device, ranks = session.engine.device, session.engine.ranks
    images, truth, own = batch
    share = share or Share.of_all(len(images))
    images = with_artefacts(session, images.to(device), truth, own, generator, share)
    images, truth = augmented(settings.augment, images, truth, generator, share)
    if settings.photometric:
        images = relight(images, generator, share)
    with learning(target.module):  # until the gradients are found: what is computed again for them is computed alike
        with session.engine.autocast():
            own_loss = partial(counted_loss, target)
            loss, count = session.memory.mean(player, own_loss, target.module, images.to(device), truth.to(device))
        loss = ranks.mean(loss, count, share)
        session.check_finite(player, loss)
        session.update(player, loss, target.module, optimizer, settings.optimizer)
    return float(loss.detach())
