"""How the discriminator is trained: before the first cycle, and on the target's own batches (paper 3.3)."""

import torch
from torch import Tensor

from terse.discriminator import Discriminator, discriminator_loss
from terse.recipe import DiscriminatorConfig, OptimizerConfig
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.training.batches import prefetch, with_artefacts
from terse.training.optimizers import optimizer_maker
from terse.training.seeding import array_generator, reseed
from terse.training.session import Session
from terse.types import Truth

__all__ = ["discriminator_step", "warm_up_phase"]


def warm_up_phase(session: Session, cycle: int) -> None:
    """Train the discriminator on real images against the synthesizer's first composites, before the first cycle.

    Half a batch each, with artefact patches alike; the target takes no part.

    Source: ours (`warm_up_steps`; 0, the paper, does nothing).
    """
    discriminator, proposer = session.players.discriminator, session.players.proposer
    if discriminator is None or not isinstance(proposer, LearnedProposer):
        return
    settings = proposer.settings.discriminator_settings
    if settings.warm_up_steps == 0:
        return
    first = session.enter(cycle, "warm_up", settings.warm_up_steps)
    if first is None:
        return
    context, seed = session.players.context, session.recipe.seed
    session.engine.use_threads(settings.batch_size * context.canvas_px**2)
    half = max(1, settings.batch_size // 2)
    for step in range(first, settings.warm_up_steps):
        generator = reseed(seed, cycle, "warm_up", step)
        numbers = array_generator(seed, cycle, "warm_up", step).integers(len(session.players.train), size=half)
        prefetch(session.players.train, numbers)
        with session.engine.autocast():
            placements = propose(proposer, half, seed, cycle, "warm_up", step)
        with torch.no_grad():
            made = context.render(placements)
        real, real_truth = session.players.train.fetch(numbers)
        images = torch.cat([real.to(session.engine.device), made.images])
        truth = Truth.join([real_truth.to(session.engine.device), made.truth])
        fake = torch.arange(2 * half) >= half
        loss = _update(session, discriminator, settings, with_artefacts(session, images, truth, generator), fake)
        session.costs.synthesizer_forwards += half
        session.tick(realism=loss)
    session.leave()


def discriminator_step(session: Session, images: Tensor, truth: Truth) -> None:
    """Train the discriminator on the batch that the target saw, real against pasted.

    Source: paper Eq. 2 and 3.4.
    """
    discriminator, proposer = session.players.discriminator, session.players.proposer
    fake = torch.zeros(truth.batch_size, dtype=torch.bool)
    fake[truth.image_index[truth.pasted].cpu()] = True
    if discriminator is None or not isinstance(proposer, LearnedProposer) or not fake.any() or fake.all():
        return
    _update(session, discriminator, proposer.settings.discriminator_settings, images, fake)


def _update(
    session: Session, discriminator: Discriminator, settings: DiscriminatorConfig, images: Tensor, fake: Tensor
) -> float:
    adam = OptimizerConfig(name="adam", lr=settings.lr, weight_decay=0)
    optimizer = session.optimizers.get("discriminator", discriminator, optimizer_maker(adam))
    with session.engine.autocast():
        logits = discriminator(images.to(session.engine.device)).float()
    loss = discriminator_loss(logits[~fake], logits[fake])
    session.check_finite("discriminator", loss)
    session.engine.update(loss, discriminator, optimizer, adam)
    return float(loss.detach())
