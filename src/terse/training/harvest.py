"""Hard examples into the pool: found, judged, taken until the quota is full (paper A.1, A.2)."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from terse.evaluation.coverage import collapse_alarms, coverage
from terse.placements import Placements
from terse.pool import Quota
from terse.protocols import Chooses, Proposer
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.training.seeding import reseed
from terse.training.session import Session
from terse.types import Composites

__all__ = ["Harvest", "harvest_phase", "hidden", "proposed", "redraw"]

_NOTHING_LEFT = 0.01
_TOP_UP = 64


class Harvest:
    """What one cycle has found so far; its state travels with the checkpoint.

    Source: paper A.1, the cache of hard examples; judging arms that keep everything is ours.
    """

    def __init__(self, session: Session, cycle: int, draw: int = 0) -> None:
        pool = session.recipe.pool
        self.session = session
        self.cycle, self.draw = cycle, draw
        self.quota = Quota(
            len(session.players.materials.classes),
            pool.per_class,
            pool.per_cycle,
            pool.uneven,
            session.players.materials.of_task,
        )
        self.round = cycle + session.facts.get("all_redraws", 0) + bool(draw)  # of all harvests of the run
        self.seen = 0
        self.topped_up = 0
        self.topped_up_blocks = 0
        self.judged = 0
        self.hard = 0
        self._placements: list[Placements] = []
        if "harvest" in session.carried:
            self._restore(session.carried["harvest"])

    def take(
        self,
        placements: Placements,
        composites: Composites,
        *,
        keeps_hard: bool,
        told: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    ) -> None:
        """Judge these composites and keep what the quota has room for.

        An arm that keeps only hard ones pays for the judging; for the others it is a measurement. An arm that learns
        from verdicts is told which are hard, and how hard, and says which of them may enter the pool.
        """
        players = self.session.players
        labels = _first_labels(composites)
        worth = ~hidden(composites)
        with self.session.engine.autocast():
            verdict = players.rule.judge(players.target, composites.images, composites.truth)
        hard = verdict.hard.cpu().numpy() & worth
        hardness = verdict.hardness.double().cpu().numpy()
        wanted = hard if keeps_hard else worth
        rows = self.quota.accept(labels, wanted if told is None else told(hard, hardness))
        if keeps_hard:
            self.session.costs.target_forwards += len(placements)
            self.session.costs.judging_passes += len(placements)
        self.seen += len(placements)
        self.judged += int(worth.sum())
        self.hard += int(hard.sum())
        self._keep(replace(placements, hardness=hardness, hard=hard), composites, labels, rows)

    def take_unjudged(self, placements: Placements, composites: Composites) -> None:
        """Keep what the quota has room for, whatever the target makes of it: its hardness stays unknown."""
        labels = _first_labels(composites)
        self._keep(placements, composites, labels, self.quota.accept(labels, ~hidden(composites)))

    def _keep(self, placements: Placements, composites: Composites, labels: np.ndarray, rows: np.ndarray) -> None:
        if len(rows):
            whole = replace(
                placements,
                size_px=np.tile(np.array(composites.images.shape[:-3:-1]), (len(placements), 1)),
                cycle=np.full(len(placements), self.cycle, dtype=np.int64),
                label=labels,
            )
            self._placements.append(whole.take(rows))

    @property
    def placements(self) -> Placements | None:
        """What was kept so far; None where nothing was."""
        return Placements.join(self._placements) if self._placements else None

    def close(self) -> dict[str, Any]:
        """Put what was found into the pool; its figures."""
        pool, pool_settings = self.session.pool, self.session.recipe.pool
        found = sum(len(part) for part in self._placements)
        rate = self.hard / max(1, self.judged)
        figures: dict[str, Any] = {"found": found, "candidates": self.seen, "hard_rate": rate}
        if isinstance(proposer := self.session.players.proposer, Chooses):
            figures |= proposer.figures(self.round)
        if pool_settings.passes_per_wanted is not None:
            figures["topped_up"] = self.topped_up
        if found:
            joined = Placements.join(self._placements)
            pool.append(self.cycle, joined, self.draw)
            seen = coverage(joined, self.session.players.materials.poses)
            duplicates = max(seen.duplicates, seen.near_duplicates)
            figures |= {"pose_entropy": seen.entropy, "duplicates": duplicates}
            figures |= _yield_of(self.session.costs.judging_passes, found * (1 - duplicates), figures)
            if self.session.players.proposer and self.session.players.proposer.module is not None:
                self._alarm(collapse_alarms(seen))  # what does not learn cannot collapse: its poses are its method
        else:
            pool.append(self.cycle, Placements.empty(self.session.players.materials.poses.size), self.draw)
        if found < self.quota.total:
            self.session.observer.say(
                f"cycle {self.cycle}: found {found} of {self.quota.total} wanted examples among {self.seen} composites"
            )
        if self.judged and rate < _NOTHING_LEFT:
            self._alarm(
                [f"{rate:.1%} of what was proposed is hard: the target has little left to learn from these poses"]
            )
        return figures

    def _alarm(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self.session.facts["alarms"].append(f"cycle {self.cycle}: {sentence}")
            self.session.facts["alarm_cycles"].append(self.cycle)
            self.session.observer.say(f"alarm: {sentence}")

    def state(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        state: dict[str, Any] = {
            "room": torch.from_numpy(self.quota.room.copy()),
            "counts": torch.tensor([self.seen, self.judged, self.hard, self.quota.taken]),
            "topped_up": torch.tensor([self.topped_up, self.topped_up_blocks]),
        }
        return state | ({"placements": Placements.join(self._placements).state()} if self._placements else {})

    def _restore(self, state: dict[str, Any]) -> None:
        self.quota.room = state["room"].numpy().copy()
        self.seen, self.judged, self.hard, self.quota.taken = (int(n) for n in state["counts"])
        self.topped_up, self.topped_up_blocks = (int(n) for n in state["topped_up"])
        self._placements = [Placements.from_state(state["placements"])] if "placements" in state else []


def harvest_phase(session: Session, cycle: int) -> None:
    """Draw composites, keep what the arm keeps, until the quota is full or the candidates run out.

    Source: paper A.2 (forward passes over random pairs after the synthesizer's training); the bounds are ours.
    """
    proposer = session.players.proposer
    if proposer is None or _during(proposer):
        return
    first = session.enter(cycle, "harvest", 0)
    if first is None:
        return
    harvest = Harvest(session, cycle)
    for _ in _blocks(harvest, proposer, "harvest", first):
        session.carried["harvest"] = harvest.state()
        session.tick(found=harvest.quota.total - harvest.quota.missing, hard_rate=harvest.hard / max(1, harvest.judged))
    session.facts["harvest"] = harvest.close()
    session.leave()


def redraw(session: Session, cycle: int, draw: int) -> None:
    """Draw the pool afresh in the middle of a target phase, as the cycle's harvest drew it, and judge it again.

    A checkpoint falls before or after, never within. What it found is added to the figures of the cycle's harvest.

    Source: ours (`pool.refresh`).
    """
    proposer = session.players.proposer
    assert proposer is not None
    harvest = Harvest(session, cycle, draw)
    for _ in _blocks(harvest, proposer, f"redraw {draw}", 0):
        pass
    found, told = harvest.close(), session.facts["harvest"]
    session.facts |= {"redraws": draw, "all_redraws": session.facts.get("all_redraws", 0) + 1}
    sums = {key: told[key] + found[key] for key in ("found", "candidates", "topped_up") if key in told}
    rates = [*told.get("hard_rates", [told["hard_rate"]]), found["hard_rate"]]
    passes = session.costs.judging_passes
    each = {"found_per_pass": sums["found"] * (1 - told.get("duplicates", 0.0)) / passes} if passes else {}
    figures = {**told, **sums, **each, "redraws": draw, "hard_rates": rates}
    session.facts["harvest"] = {key: value for key, value in figures.items() if key != "yield_over_mining"}


def _during(proposer: Proposer) -> bool:
    return isinstance(proposer, LearnedProposer) and proposer.settings.harvest == "during"


def _blocks(harvest: Harvest, proposer: Proposer, phase: str, first: int) -> Iterator[None]:
    """Fill the harvest block by block; what judging was too dear for is filled up with base draws."""
    session, cycle = harvest.session, harvest.cycle
    materials, pool = session.players.materials, session.recipe.pool
    session.engine.use_threads(proposer.batch_size * materials.canvas_px**2)
    judges = proposer.keeps_hard or not harvest.draw  # a first draw is judged for the report, whatever is kept
    before = session.costs.judging_passes if harvest.draw else 0
    step = first
    while harvest.quota.missing and harvest.seen < pool.candidates:
        count = proposer.batch_size
        if proposer.keeps_hard and pool.passes_per_wanted is not None:
            left = round(pool.passes_per_wanted * harvest.quota.total) - (session.costs.judging_passes - before)
            if left <= 0:
                break
            count = min(count, left)
        reseed(session.recipe.seed, cycle, phase, step)  # dropout
        placements, told = proposed(harvest, proposer, phase, step, count)
        if len(placements):  # of a small block, a critic may think that none is worth judging
            with torch.no_grad():
                composites = materials.render(placements)
            if judges:
                harvest.take(placements, composites, keeps_hard=proposer.keeps_hard, told=told)
            else:
                harvest.seen += len(placements)
                harvest.take_unjudged(placements, composites)
        step += 1
        yield
    if pool.passes_per_wanted is not None and proposer.keeps_hard:
        yield from _topped_up(harvest, f"{phase}, topped up")


def _topped_up(harvest: Harvest, phase: str) -> Iterator[None]:
    """Base draws that nobody judges, for what is missing."""
    session, most = harvest.session, math.ceil(harvest.session.recipe.pool.candidates / _TOP_UP)
    blind = BlindProposer(session.players.materials, _TOP_UP)
    while harvest.quota.missing and harvest.topped_up_blocks < most:
        missing = harvest.quota.missing
        path = (session.recipe.seed, harvest.cycle, phase, harvest.topped_up_blocks)
        placements = propose(blind, _TOP_UP, *path)
        with torch.no_grad():
            harvest.take_unjudged(placements, session.players.materials.render(placements))
        harvest.topped_up += missing - harvest.quota.missing
        harvest.topped_up_blocks += 1
        yield


def proposed(
    harvest: Harvest, proposer: Proposer, phase: str, step: int, count: int
) -> tuple[Placements, Callable[[np.ndarray, np.ndarray], np.ndarray] | None]:
    """A block of candidates, and who is told of the verdicts on them.

    Source: ours.
    """
    session = harvest.session
    path = (session.recipe.seed, harvest.cycle, phase, step)
    if proposer.module is not None:
        session.costs.synthesizer_forwards += count
    if isinstance(proposer, Chooses):
        candidates = proposer.choose(count, *path)
        if session.recipe.pool.passes_per_wanted is not None:  # about so many may be more than are left to judge
            candidates = candidates.take(np.arange(min(count, len(candidates))))
        return candidates.placements, partial(proposer.told, candidates, cycle=harvest.round)
    with session.engine.autocast():
        return propose(proposer, count, *path), None


def _yield_of(passes: int, distinct: float, figures: dict[str, Any]) -> dict[str, float]:
    """Distinct composites for each judging pass, and over mining's, whose own rate is the base's."""
    if not passes:
        return {}
    rate = distinct / passes
    of_base = figures.get("base_hard_rate", 0.0)
    return {"found_per_pass": rate} | ({"yield_over_mining": rate / of_base} if of_base else {})


def _first_labels(composites: Composites) -> np.ndarray:
    """The class of each image's first pasted object."""
    truth = composites.truth
    labels = np.zeros(truth.batch_size, dtype=np.int64)
    rows = torch.nonzero(truth.pasted).flatten().flip(0)
    labels[truth.image_index[rows].cpu().numpy()] = truth.labels[rows].cpu().numpy()
    return labels


def hidden(composites: Composites) -> np.ndarray:
    """Images that hold no pasted object which can be seen well enough.

    Source: ours.
    """
    truth = composites.truth
    seen = np.zeros(truth.batch_size, dtype=bool)
    good = truth.pasted & ~truth.ignore
    seen[truth.image_index[good].cpu().numpy()] = True
    return ~seen
