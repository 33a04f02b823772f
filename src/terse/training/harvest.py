"""Hard examples into the pool: found, judged, taken until the quota is full (paper A.1, A.2)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from terse.evaluation.coverage import collapse_alarms, coverage
from terse.placements import Placements
from terse.pool import Quota
from terse.protocols import Chooses
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.training.seeding import reseed
from terse.training.session import Session
from terse.types import Composites

__all__ = ["Harvest", "harvest_phase", "hidden"]

_NOTHING_LEFT = 0.01


class Harvest:
    """What one cycle has found so far; its state travels with the checkpoint.

    Source: paper A.1, the cache of hard examples; judging arms that keep everything is ours.
    """

    def __init__(self, session: Session, cycle: int) -> None:
        pool = session.recipe.pool
        self.session = session
        self.cycle = cycle
        self.quota = Quota(len(session.players.materials.classes), pool.per_class, pool.per_cycle, pool.uneven)
        self.seen = 0
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
        if len(rows):
            judged = replace(
                placements,
                size_px=np.tile(np.array(composites.images.shape[:-3:-1]), (len(placements), 1)),
                cycle=np.full(len(placements), self.cycle, dtype=np.int64),
                label=labels,
                hardness=hardness,
                hard=hard,
            )
            self._placements.append(judged.take(rows))

    def close(self) -> dict[str, Any]:
        """Put what was found into the pool; its figures."""
        pool = self.session.pool
        found = sum(len(part) for part in self._placements)
        rate = self.hard / max(1, self.judged)
        figures: dict[str, Any] = {"found": found, "candidates": self.seen, "hard_rate": rate}
        if isinstance(proposer := self.session.players.proposer, Chooses):
            figures |= proposer.figures(self.cycle)
        if found:
            joined = Placements.join(self._placements)
            pool.append(self.cycle, joined)
            seen = coverage(joined, self.session.players.materials.poses)
            duplicates = max(seen.duplicates, seen.near_duplicates)
            figures |= {"pose_entropy": seen.entropy, "duplicates": duplicates}
            figures |= _yield_of(self.session.costs.judging_passes, found * (1 - duplicates), figures)
            if self.session.players.proposer and self.session.players.proposer.module is not None:
                self._alarm(collapse_alarms(seen))  # what does not learn cannot collapse: its poses are its method
        else:
            pool.append(self.cycle, Placements.empty(self.session.players.materials.poses.size))
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
        }
        return state | ({"placements": Placements.join(self._placements).state()} if self._placements else {})

    def _restore(self, state: dict[str, Any]) -> None:
        self.quota.room = state["room"].numpy().copy()
        self.seen, self.judged, self.hard, self.quota.taken = (int(n) for n in state["counts"])
        self._placements = [Placements.from_state(state["placements"])] if "placements" in state else []


def harvest_phase(session: Session, cycle: int) -> None:
    """Draw composites, keep what the arm keeps, until the quota is full or the candidates run out.

    Source: paper A.2 (forward passes over random pairs after the synthesizer's training); the bound is ours.
    """
    proposer = session.players.proposer
    if proposer is None or (isinstance(proposer, LearnedProposer) and proposer.settings.harvest == "during"):
        return
    first = session.enter(cycle, "harvest", 0)
    if first is None:
        return
    harvest = Harvest(session, cycle)
    batch = proposer.batch_size
    materials = session.players.materials
    session.engine.use_threads(batch * materials.canvas_px**2)
    step = first
    while harvest.quota.missing and harvest.seen < session.recipe.pool.candidates:
        reseed(session.recipe.seed, cycle, "harvest", step)  # dropout
        numbers, told = (session.recipe.seed, cycle, "harvest", step), None
        if isinstance(proposer, Chooses):
            candidates = proposer.choose(batch, *numbers)
            placements, told = candidates.placements, partial(proposer.told, candidates, cycle=cycle)
        else:
            with session.engine.autocast():
                placements = propose(proposer, batch, *numbers)
        if proposer.module is not None:
            session.costs.synthesizer_forwards += batch
        if len(placements):  # of a small block, a critic may think that none is worth judging
            with torch.no_grad():
                composites = materials.render(placements)
            harvest.take(placements, composites, keeps_hard=proposer.keeps_hard, told=told)
        session.carried["harvest"] = harvest.state()
        step += 1
        session.tick(found=harvest.quota.total - harvest.quota.missing, hard_rate=harvest.hard / max(1, harvest.judged))
    session.facts["harvest"] = harvest.close()
    session.leave()


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
