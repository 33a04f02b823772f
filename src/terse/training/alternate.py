"""Per-batch alternation (paper 3.4): each step updates the synthesizer, then the discriminator, then the target."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64

from terse.draws import seeds_of
from terse.modes import frozen
from terse.placements import Placements
from terse.protocols import Proposer, network_of, trainable
from terse.synthesis.learned.proposer import LearnedProposer
from terse.training.batches import mixed_batch, prefetch
from terse.training.candidates import drawn, proposed
from terse.training.harvest import Harvest
from terse.training.optimizers import optimizer_maker, set_rate
from terse.training.phases import restart_synthesizer, settle_synthesizer, synthesizer_step
from terse.training.plan import TargetPlan, planned_pool
from terse.training.pool_images import PoolImages
from terse.training.realism import discriminator_step
from terse.training.seeding import array_generator, reseed
from terse.training.session import Session
from terse.training.target_step import target_step

__all__ = ["RunningThreshold", "alternating_phase"]

_REMEMBERED, _FEWEST = 1024, 64
_ATTEMPTS = 16  # a class that is full takes nothing more


class RunningThreshold:
    """Spreads a harvest over a cycle: of what is hard, the hardest share that recent composites allow.

    Source: paper 3.4 updates all players for each batch and names no harvest; this is ours.
    """

    def __init__(self, carried: dict[str, Any], share: float) -> None:
        self._carried, self._share = carried, min(1.0, share)

    def wanted(self, hard: Bool[np.ndarray, " b"], hardness: Float64[np.ndarray, " b"]) -> Bool[np.ndarray, " b"]:
        """Which of a step's composites may enter the pool; their hardness is remembered."""
        recent = self._carried["recent"].numpy() if "recent" in self._carried else np.zeros(0)
        least = np.quantile(recent, 1 - self._share) if len(recent) >= _FEWEST else -np.inf
        self._carried["recent"] = torch.from_numpy(np.concatenate([recent, hardness])[-_REMEMBERED:])
        kept: Bool[np.ndarray, " b"] = hard & (hardness >= least)
        return kept


def alternating_phase(session: Session, cycle: int) -> None:
    """A cycle of steps in turn, as many as the target's phase would have; it stands for all three phases of a cycle.

    Each step trains one player with the others frozen: the synthesizer on a batch of its own, of which the hard ones
    are harvested; the discriminator and the target on real images and on what the pool holds by then.

    Source: paper 3.4 ("for a given training batch"); what a step harvests is ours.
    """
    settings, seed = session.recipe.fine_tune, session.recipe.seed
    planned = planned_pool(session, cycle)
    steps = TargetPlan(session, settings, cycle, "target", planned, planned).steps
    first = session.enter(cycle, "synthesizer", steps)
    if first is None:
        return
    players, proposer = session.players, session.players.proposer
    harvest = Harvest(session, cycle)
    if isinstance(proposer, LearnedProposer) and proposer.settings.restart and cycle > 1 and first == 0:
        restart_synthesizer(session, proposer, cycle)
    target = session.optimizers.get("target", trainable(players.target).module, optimizer_maker(settings.optimizer))
    session.engine.use_threads_to_learn(settings.batch_size, players.materials.canvas_px)
    for step in range(first, steps):
        told = _harvest(session, harvest, cycle, step, steps)
        session.spending.charge("synthesizer")
        parts = [part for part in (session.pool.placements, harvest.placements) if part is not None and len(part)]
        pool = PoolImages(Placements.join(parts), players.materials, keep=False) if parts else None
        discriminator_step(session, pool, cycle, step)
        generator = reseed(seed, cycle, "target", step, rank=session.engine.rank)
        set_rate(target, settings.optimizer, step, steps, cycle, session.recipe.cycles)
        batch, share = mixed_batch(session, pool, _numbers(session, cycle, step, 0 if pool is None else len(pool)))
        if step + 1 < steps:
            prefetch(players.train, _real(session, cycle, step + 1, settings.batch_size)[share.rows])
        loss = target_step(session, settings, target, batch, generator, share)
        session.costs.target_forwards += share.total
        session.costs.target_backwards += share.total
        session.spending.charge("target")
        session.carried["harvest"] = harvest.state()
        session.tick(loss=loss, found=len(harvest.placements or ()), **told)
    session.facts["harvest"] = harvest.close()
    if isinstance(proposer, LearnedProposer):
        session.facts["synthesizer"] = settle_synthesizer(session, proposer, cycle)
    session.leave()


def _harvest(session: Session, harvest: Harvest, cycle: int, step: int, steps: int) -> dict[str, float]:
    """The step's composites, the synthesizer trained on them where the arm has one; what is kept goes to the harvest."""
    proposer, seed = session.players.proposer, session.recipe.seed
    if proposer is None:
        return {}
    key = (seed, cycle, "synthesizer", step)
    generator = reseed(*key, rank=session.engine.rank)
    if isinstance(proposer, LearnedProposer):
        settings = proposer.settings
        optimizer = session.optimizers.get("synthesizer", proposer.module, optimizer_maker(settings.optimizer))
        set_rate(optimizer, settings.optimizer, step, steps, cycle, session.recipe.cycles)
        requests = proposer.requests(seeds_of(*key, count=settings.batch_size))
        with frozen(network_of(session.players.target), session.players.discriminator):
            placements, composites, loss = synthesizer_step(session, proposer, optimizer, requests, generator)
        threshold = RunningThreshold(session.carried, harvest.quota.total / max(1, steps * settings.batch_size))
        share = session.engine.ranks.share(len(requests))
        harvest.take(placements, composites, keeps_hard=True, told=threshold.wanted, share=share)
        return {"fooling": loss, "hard_rate": harvest.tally.hard_rate}
    _propose(harvest, proposer, step, steps)
    return {"hard_rate": harvest.tally.hard_rate}


def _propose(harvest: Harvest, proposer: Proposer, step: int, steps: int) -> None:
    """A step's candidates of an arm that is not trained; one that keeps everything keeps an even share in each step."""
    session, most = harvest.session, harvest.session.recipe.pool.candidates
    later = harvest.quota.missing * (steps - step - 1) // (steps - step)
    for attempt in range(1 if proposer.keeps_hard else _ATTEMPTS):
        wanted = harvest.quota.missing - later
        if wanted <= 0 or harvest.tally.seen >= most:
            return
        count = proposer.batch_size if proposer.keeps_hard else wanted
        placements, told = proposed(
            session,
            proposer,
            harvest.cycle,
            "synthesizer",
            step * _ATTEMPTS + attempt,
            count,
            round_=harvest.round,
        )
        if proposer.keeps_hard and told is None:
            told = RunningThreshold(session.carried, harvest.quota.total / (steps * count)).wanted
        if len(placements):
            own, composites, share = drawn(session, placements)
            harvest.take(own, composites, keeps_hard=proposer.keeps_hard, told=told, share=share)


def _numbers(session: Session, cycle: int, step: int, pooled: int) -> Int64[np.ndarray, " b"]:
    """Real images, then those of the pool, in the mixture of `real_per_synthetic`; real ones while the pool is empty."""
    settings, real = session.recipe.fine_tune, len(session.players.train)
    ratio = settings.real_per_synthetic
    share = pooled / (real + pooled) if ratio == "all" else 1 / (1 + float(ratio))
    made = min(pooled, round(share * settings.batch_size))
    rng = array_generator(session.recipe.seed, cycle, "pool of a step", step)
    of_pool = rng.choice(pooled, made, replace=False) if made else np.zeros(0, dtype=np.int64)
    return np.concatenate([_real(session, cycle, step, settings.batch_size - made), real + of_pool])


def _real(session: Session, cycle: int, step: int, count: int) -> Int64[np.ndarray, " k"]:
    """The first of a step's real images, which do not depend on how many are wanted: arms see the same ones."""
    real = len(session.players.train)
    rng = array_generator(session.recipe.seed, cycle, "reals of a step", step)
    most = session.recipe.fine_tune.batch_size
    rounds = [rng.permutation(real)[:most] for _ in range(math.ceil(most / max(1, real)))]
    return np.concatenate(rounds)[:count]
