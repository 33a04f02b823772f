"""How the discriminator is trained: before the first cycle, and beside the target (paper 3.3)."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from terse.discriminator import Discriminator, discriminator_loss
from terse.draws import seeds_of
from terse.recipe_parts import DiscriminatorConfig, OptimizerConfig
from terse.synthesis.learned.modes import settled
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.training.batches import prefetch, with_artefacts
from terse.training.candidates import hidden
from terse.training.optimizers import optimizer_maker
from terse.training.pool_images import PoolImages
from terse.training.ranks import Share
from terse.training.seeding import array_generator, reseed
from terse.training.session import Session
from terse.types import Composites, Truth

__all__ = ["discriminator_step", "warm_up_phase"]

_Images = tuple[Tensor, Truth]


def warm_up_phase(session: Session, cycle: int) -> None:
    """Train the discriminator on real images against the synthesizer's first composites, before the first cycle.

    `batch_size` of each, with artefact patches alike; the target takes no part.

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
    materials, seed = session.players.materials, session.recipe.seed
    session.engine.use_threads_to_learn(settings.batch_size, materials.canvas_px)
    count = settings.batch_size
    pairs, steps = proposer.settings.statistics_pairs, range(first, settings.warm_up_steps)
    with session.engine.autocast(), settled(proposer, seeds_of(seed, cycle, "warm_up statistics", 0, count=pairs)):
        drawn_before = [propose(proposer, count, seed, cycle, "warm_up", step) for step in steps]
    session.costs.synthesizer_forwards += pairs if first == 0 else 0  # what goes on has paid for them
    for step in steps:
        generator = reseed(seed, cycle, "warm_up", step, rank=session.engine.rank)
        prefetch(session.players.train, _real_numbers(session, cycle, "warm_up", step))
        placements = drawn_before[step - first]
        with torch.no_grad():
            made = materials.render(placements)
        seen = np.flatnonzero(~hidden(made))
        session.costs.synthesizer_forwards += count

        def fetch(rows: Int64[np.ndarray, " k"], made: Composites = made, seen: np.ndarray = seen) -> _Images:
            return made.images[torch.from_numpy(seen[rows])], made.truth.take(seen[rows].tolist())

        loss = _step(session, (cycle, "warm_up", step), fetch, placements.background[seen], generator)
        session.tick(**({} if loss is None else {"realism": loss}))
    session.leave()


def discriminator_step(session: Session, pool: PoolImages | None, cycle: int, step: int) -> None:
    """Train the discriminator on real images against composites of the pool, `batch_size` of each.

    They are whole, before the target's augmentation: a crop may take away the object that makes a composite.

    Source: paper Eq. 2 and 3.4; batches of its own are ours.
    """
    proposer = session.players.proposer
    if session.players.discriminator is None or not isinstance(proposer, LearnedProposer) or not pool:
        return
    key = (cycle, "discriminator", step)
    random = array_generator(session.recipe.seed, *key)
    numbers = random.choice(len(pool), min(len(pool), proposer.settings.discriminator_settings.batch_size), False)
    generator = torch.Generator().manual_seed(int(random.integers(2**63)))  # the target's own draws stay as they are
    below = pool.placements.background[numbers]
    _step(session, key, lambda rows: pool.fetch(numbers[rows]), below, generator)


def _step(
    session: Session,
    key: tuple[int, str, int],
    fetch: Callable[[Int64[np.ndarray, " k"]], _Images],
    below: Int64[np.ndarray, " b"],
    generator: torch.Generator,
) -> float | None:
    """One update on composites and real images of the step; None where there are no composites.

    `below` has the background of each composite, and `fetch` gives some of them.
    """
    if not len(below):
        return None
    discriminator, proposer = session.players.discriminator, session.players.proposer
    assert discriminator is not None
    assert isinstance(proposer, LearnedProposer)
    numbers = _real_numbers(session, *key)
    share = session.engine.ranks.share(len(numbers) + len(below))
    is_real = share.rows < len(numbers)
    numbers, made = numbers[share.rows[is_real]], share.rows[~is_real] - len(numbers)
    real, real_truth = session.players.train.fetch(numbers)
    images, truth = fetch(made)
    device = session.engine.device
    both = torch.cat([real.to(device), images.to(device)])
    joined = Truth.join([real_truth.with_only().to(device), truth.with_only().to(device)])
    own = np.concatenate([session.players.materials.background_of_real[numbers], below[made]])
    both = with_artefacts(session, both, joined, own, generator, share)
    fake = torch.from_numpy(~is_real)
    return _update(session, discriminator, proposer.settings.discriminator_settings, both, fake, share)


def _real_numbers(session: Session, cycle: int, phase: str, step: int) -> Int64[np.ndarray, " b"]:
    """Which real images the discriminator sees in a step."""
    proposer = session.players.proposer
    assert isinstance(proposer, LearnedProposer)
    count, random = (
        proposer.settings.discriminator_settings.batch_size,
        array_generator(session.recipe.seed, cycle, f"{phase} real", step),
    )
    return random.integers(len(session.players.train), size=count)


def _update(
    session: Session,
    discriminator: Discriminator,
    settings: DiscriminatorConfig,
    images: Tensor,
    fake: Tensor,
    share: Share,
) -> float:
    adam = OptimizerConfig(name="adam", lr=settings.lr, weight_decay=0)
    optimizer = session.optimizers.get("discriminator", discriminator, optimizer_maker(adam))
    with session.engine.autocast():
        logits = discriminator(images.to(session.engine.device)).float()
    ranks = session.engine.ranks
    logits, fake = ranks.rows(logits, share), ranks.rows(fake, share)
    loss = discriminator_loss(logits[~fake], logits[fake])
    session.check_finite("discriminator", loss)
    session.update("discriminator", loss, discriminator, optimizer, adam)
    return float(loss.detach())
