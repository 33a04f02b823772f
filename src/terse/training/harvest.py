"""Hard examples into the pool: found, judged, taken until the quota is full (paper A.1, A.2)."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from terse.evaluation.coverage import collapse_alarms, coverage
from terse.evaluation.learnable import ReferenceRule
from terse.placements import Placements, Role
from terse.pool import Quota
from terse.protocols import Chooses, Proposer
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.training.candidates import drawn, first_labels, hidden, proposed
from terse.training.guides import look_at_guide
from terse.training.judging import Judged, judge
from terse.training.ranks import Share
from terse.training.references import compare_reference
from terse.training.seeding import reseed
from terse.training.session import Session
from terse.training.spread import (
    Mix,
    even_shares,
    farthest_points,
    first_objects,
    pose_cells,
    projected,
    rows_to_compare,
)
from terse.training.tally import Tally
from terse.types import Composites

__all__ = ["Harvest", "harvest_phase", "redraw"]

_NOTHING_LEFT = 0.01
_FEW, _TELLS_LITTLE = 30, 0.1  # of the hard ones
_TOP_UP = 64


class Harvest:
    """What one cycle has found so far; its state travels with the checkpoint.

    Source: paper A.1, the cache of hard examples; judging arms that keep everything is ours.
    """

    def __init__(self, session: Session, cycle: int, draw: int = 0) -> None:
        pool = session.recipe.pool
        self.session = session
        self.cycle, self.draw = cycle, draw
        self.round = cycle + session.facts.get("all_redraws", 0) + bool(draw)  # of all harvests of the run
        self.goal, self.quota = self._quota(1.0), self._quota(pool.spare if pool.choose == "farthest" else 1.0)
        learned = isinstance(
            session.players.proposer, LearnedProposer
        )  # the other arms draw from the base, or are rivals
        self.mix = Mix(pool.mix, self.quota.total) if pool.mix is not None and learned else None
        self._features: list[np.ndarray] = []
        self.tally = Tally(len(session.players.materials.classes))
        self.topped_up = 0
        self.topped_up_blocks = 0
        self._placements: list[Placements] = []
        before = session.costs.judging_passes
        look_at_guide(session, cycle, draw)
        self.passes_ahead = session.costs.judging_passes - before  # of what the rule has to know first
        if "harvest" in session.carried:
            self._restore(session.carried["harvest"])

    def with_room(self, placements: Placements) -> np.ndarray:
        """The rows with an object of a class, and of a cell of it, that the pool still wants some of.

        The others are counted, and neither drawn nor judged: no verdict could bring them into the pool.
        """
        rows, cells = np.flatnonzero(placements.role == Role.OBJECT), self._cells(placements)
        image = placements.image_index[rows]
        labels = self.session.players.materials.foregrounds.labels[placements.foreground[rows]]
        found = np.zeros(len(placements), dtype=bool)
        found[image[self.quota.has_room(labels, None if cells is None else cells[image])]] = True
        self.pass_over(placements.take(np.flatnonzero(~found)))
        return np.flatnonzero(found)

    def pass_over(self, placements: Placements) -> None:
        """Count candidates that nobody judges."""
        self.tally.passed_over(self._lowest(placements))

    def take(
        self,
        placements: Placements,
        composites: Composites,
        *,
        keeps_hard: bool,
        told: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
        source: int = 1,
        share: Share | None = None,
    ) -> None:
        """Judge these composites and keep what the quota has room for.

        An arm that keeps only hard ones pays for the judging; for the others it is a measurement. An arm that learns
        from verdicts is told which are hard, and how hard, and says which of them may enter the pool. Of several
        processes each judges its share of a block; all go on with the verdicts on the whole.
        """
        ranks, size_px = self.session.engine.ranks, composites.images.shape[:-3:-1]
        own = judged = judge(self.session, placements, composites)
        if share is not None and not ranks.alone:
            judged = Judged.whole(share, ranks.each(own))
            if isinstance(rule := self.session.players.rule, ReferenceRule):  # counts its own share alone
                rule.asked = [a + b - c for a, b, c in zip(rule.asked, judged.asked, own.asked, strict=True)]
        placements, labels, worth, hard, hardness = (
            judged.placements,
            judged.labels,
            judged.worth,
            judged.hard,
            judged.hardness,
        )
        self.session.check_finite("target", torch.tensor(np.nan if np.isnan(hardness[worth]).any() else 0.0))
        wanted = hard if keeps_hard else worth
        wanted = wanted if told is None else ranks.first(told(hard, hardness))
        if self.mix is not None:
            wanted = np.isin(np.arange(len(wanted)), np.flatnonzero(wanted)[: self.mix.room[source]])
        rows = self.quota.accept(labels, wanted, self._cells(placements))
        if self.mix is not None:
            self.mix.took(source, len(rows))
        if judged.features is not None and len(rows):
            self._features.append(projected(judged.features[rows]))
        if keeps_hard:
            self.session.costs.target_forwards += len(placements)
            self.session.costs.judging_passes += len(placements)
            judged.further.charge(self.session.costs)
        self.tally.looked_at(self._lowest(placements), worth, hard)
        self._keep(replace(placements, hardness=hardness, hard=hard), size_px, labels, rows)

    def take_unjudged(self, placements: Placements) -> None:
        """Keep what the quota has room for, whatever the target makes of it: its hardness stays unknown."""
        _, composites, share = drawn(self.session, placements)
        parts = self.session.engine.ranks.each((first_labels(composites), ~hidden(composites)))
        labels, worth = (share.whole_array([part[k] for part in parts]) for k in (0, 1))
        rows = self.quota.accept(labels, worth, self._cells(placements))
        self._keep(placements, composites.images.shape[:-3:-1], labels, rows)

    def _keep(self, placements: Placements, size_px: Sequence[int], labels: np.ndarray, rows: np.ndarray) -> None:
        if len(rows):
            whole = replace(
                placements,
                size_px=np.tile(np.array(size_px), (len(placements), 1)),
                cycle=np.full(len(placements), self.cycle, dtype=np.int64),
                label=labels,
            )
            self._placements.append(whole.take(rows))

    @property
    def placements(self) -> Placements | None:
        """What was kept so far; None where nothing was."""
        return Placements.join(self._placements) if self._placements else None

    def _quota(self, times: float) -> Quota:
        """What the recipe wants, or so many times as much."""
        session, pool = self.session, self.session.recipe.pool
        free = session.players.materials.poses.free
        cells = 1 if pool.cells is None else pool.cells ** len(free)
        per_class, per_cycle = (
            None if number is None else math.ceil(number * times) for number in (pool.per_class, pool.per_cycle)
        )
        materials = session.players.materials
        quota = (len(materials.classes), per_class, per_cycle, pool.uneven, materials.of_task, cells)
        return Quota(*quota, harvest=self.round - 1)

    def _lowest(self, placements: Placements) -> np.ndarray:
        """The class of each image's lowest object."""
        foreground = placements.foreground[first_objects(placements)]
        labels: np.ndarray = self.session.players.materials.foregrounds.labels[foreground]
        return labels

    def _cells(self, placements: Placements) -> np.ndarray | None:
        bins = self.session.recipe.pool.cells
        materials = self.session.players.materials
        return None if bins is None else pose_cells(placements, materials.poses, bins, materials.foregrounds)

    @property
    def missing(self) -> int:
        """How many are still looked for; more than are kept where the farthest are chosen."""
        return self.quota.missing

    def _chosen(self, found: Placements) -> Placements:
        """Of more than are wanted, those that are farthest apart, class by class; in the order in which they were found."""
        if self.goal.total >= len(found):
            return found
        materials = self.session.players.materials
        features = np.concatenate(self._features) if self._features else None
        if features is not None and len(features) != len(found):
            features = None  # some were not judged
        rows = rows_to_compare(found, materials.poses, features, materials.foregrounds)
        kept = np.zeros(len(found), dtype=bool)
        shares = even_shares(np.bincount(found.label, minlength=len(self.goal.room)), self.goal.total, self.goal.room)
        for label, share in enumerate(shares.tolist()):
            own = np.flatnonzero(found.label == label)
            kept[own[farthest_points(rows[own], share)]] = True
        return found.take(np.flatnonzero(kept))

    def close(self) -> dict[str, Any]:
        """Put what was found into the pool; its figures."""
        pool, pool_settings = self.session.pool, self.session.recipe.pool
        joined = Placements.join(self._placements) if self._placements else None
        joined = self._chosen(joined) if joined is not None else None
        found = 0 if joined is None else len(joined)
        rate = self.tally.hard_rate
        figures: dict[str, Any] = {"found": found, "candidates": self.tally.seen, "hard_rate": rate}
        if isinstance(proposer := self.session.players.proposer, Chooses):
            figures |= proposer.figures(self.round)
        if pool_settings.passes_per_wanted is not None:
            figures["topped_up"] = self.topped_up
        if joined is not None:
            pool.append(self.cycle, joined, self.draw)
            materials = self.session.players.materials
            seen = coverage(joined, materials.poses, materials.class_of)
            duplicates = max(seen.duplicates, seen.near_duplicates)
            figures |= {"pose_entropy": seen.entropy, "duplicates": duplicates}
            passes, of_base = self.session.costs.judging_passes, self.session.players.rule.passes_of_base
            figures |= _yield_of(passes, _distinct(figures), figures, of_base)
            if self.session.players.proposer and self.session.players.proposer.module is not None:
                self._alarm(collapse_alarms(seen))  # what does not learn cannot collapse: its poses are its method
        else:
            pool.append(self.cycle, Placements.empty(self.session.players.materials.poses.size), self.draw)
        if found < self.goal.total:
            self.session.observer.say(
                f"cycle {self.cycle}: found {found} of {self.goal.total} wanted examples among {self.tally.seen} composites"
            )
        if isinstance(rule := self.session.players.rule, ReferenceRule) and rule.asked[0]:
            figures["reference_right"] = share = rule.asked[1] / rule.asked[0]
            if self.session.keeps_hard and rule.asked[0] >= _FEW and not _TELLS_LITTLE <= share <= 1 - _TELLS_LITTLE:
                self._alarm([f"the reference is right on {share:.0%} of the hard composites: it tells nothing"])
            rule.asked = [0, 0]
        if self.tally.worth and rate < _NOTHING_LEFT:
            self._alarm(
                [
                    f"{rate:.1%} of what was proposed is hard: the target has little left to learn from these poses, or is sure of nothing yet"
                ]
            )
        return figures

    def _alarm(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self.session.alarm(self.cycle, sentence)

    def state(self) -> dict[str, Any]:
        """Tensors for a checkpoint."""
        state: dict[str, Any] = {
            "room": torch.from_numpy(self.quota.room.copy()),
            "tally": self.tally.state(),
            "taken": torch.tensor(self.quota.taken),
            "topped_up": torch.tensor([self.topped_up, self.topped_up_blocks]),
            "passes_ahead": torch.tensor(self.passes_ahead),
        }
        if self.mix is not None:
            state["mix"] = torch.from_numpy(np.stack([self.mix.room, self.mix.looked_at]))
        if self._features:
            state["features"] = torch.from_numpy(np.concatenate(self._features))
        return state | ({"placements": Placements.join(self._placements).state()} if self._placements else {})

    def _restore(self, state: dict[str, Any]) -> None:
        self.quota.room = state["room"].numpy().copy()
        if "tally" in state:
            self.tally.restore(state["tally"])
            self.quota.taken = int(state["taken"])
        else:  # of a version that did not count by class
            counts = torch.zeros(4, len(self.session.players.materials.classes), dtype=torch.int64)
            counts[1:, 0], self.quota.taken = state["counts"][:3], int(state["counts"][3])
            self.tally.restore(counts)
        self.topped_up, self.topped_up_blocks = (int(n) for n in state["topped_up"])
        self.passes_ahead = int(state.get("passes_ahead", 0))  # older states do not say
        self._placements = [Placements.from_state(state["placements"])] if "placements" in state else []
        self._features = [state["features"].numpy().copy()] if "features" in state else []
        if self.mix is not None:
            self.mix.room, self.mix.looked_at = state["mix"].numpy().copy()
        for part in self._placements:
            self.quota.count(part.label, self._cells(part))


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
        session.tick(found=harvest.quota.total - harvest.quota.missing, hard_rate=harvest.tally.hard_rate)
    session.facts["harvest"] = harvest.close()
    session.leave()


def redraw(session: Session, cycle: int, draw: int) -> None:
    """Draw the pool afresh in the middle of a target phase, as the cycle's harvest drew it, and judge it again.

    A checkpoint falls before or after, never within. What it found is added to the figures of the cycle's harvest.

    Source: ours (`pool.refresh`).
    """
    proposer = session.players.proposer
    assert proposer is not None
    threads = torch.get_num_threads()
    if proposer.keeps_hard:
        compare_reference(session, cycle)
    harvest = Harvest(session, cycle, draw)  # a guide takes threads of its own
    for _ in _blocks(harvest, proposer, f"redraw {draw}", 0):
        pass
    torch.set_num_threads(threads)  # the phase goes on as a resumed one begins
    found, told = harvest.close(), session.facts["harvest"]
    session.facts |= {"redraws": draw, "all_redraws": session.facts.get("all_redraws", 0) + 1}
    sums = {key: told[key] + found[key] for key in ("found", "candidates", "topped_up") if key in told}
    rates = [*told.get("hard_rates", [told["hard_rate"]]), found["hard_rate"]]
    passes, distinct = session.costs.judging_passes, _distinct(told) + _distinct(found)
    each = {"found_per_pass": distinct / passes} if passes else {}
    if judged := _judged(sums):
        each["duplicates"] = 1 - distinct / judged
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
    before = session.costs.judging_passes if harvest.draw else harvest.passes_ahead
    step, base = first, BlindProposer(materials, proposer.batch_size, proposer.limits)
    while harvest.missing and harvest.tally.seen < pool.candidates:
        count = proposer.batch_size
        if proposer.keeps_hard and pool.passes_per_wanted is not None:
            left = round(pool.passes_per_wanted * harvest.goal.total) - (session.costs.judging_passes - before)
            if left < session.players.rule.most_passes:
                break
            count = min(count, left // session.players.rule.most_passes)
        reseed(session.recipe.seed, cycle, phase, step, rank=session.engine.rank)  # dropout
        source = 1 if harvest.mix is None else harvest.mix.next()
        if harvest.mix is not None:
            harvest.mix.asked(source, count)
        asked = proposer if source else base
        placements, told = proposed(
            session, asked, cycle, phase, step, count, round_=harvest.round, with_room=harvest.with_room
        )
        if len(placements):
            if judges:
                own, composites, share = drawn(session, placements)
                harvest.take(own, composites, keeps_hard=proposer.keeps_hard, told=told, source=source, share=share)
            else:
                harvest.pass_over(placements)
                harvest.take_unjudged(placements)
        step += 1
        yield
    if pool.passes_per_wanted is not None and proposer.keeps_hard:
        yield from _topped_up(harvest, f"{phase}, topped up")


def _topped_up(harvest: Harvest, phase: str) -> Iterator[None]:
    """Base draws that nobody judges, for what is missing."""
    proposer = harvest.session.players.proposer
    assert proposer is not None
    session, most = harvest.session, math.ceil(harvest.session.recipe.pool.candidates / _TOP_UP)
    blind = BlindProposer(session.players.materials, _TOP_UP, proposer.limits)
    while harvest.quota.missing and harvest.quota.taken < harvest.goal.total and harvest.topped_up_blocks < most:
        missing = harvest.quota.missing
        path = (session.recipe.seed, harvest.cycle, phase, harvest.topped_up_blocks)
        placements = propose(blind, _TOP_UP, *path)
        harvest.take_unjudged(placements)
        harvest.topped_up += missing - harvest.quota.missing
        harvest.topped_up_blocks += 1
        yield


def _judged(figures: dict[str, Any]) -> int:
    """How many of the composites found were judged."""
    return int(figures["found"]) - int(figures.get("topped_up", 0))


def _distinct(figures: dict[str, Any]) -> float:
    """How many of them repeat no earlier one."""
    return _judged(figures) * (1 - float(figures.get("duplicates", 0.0)))


def _yield_of(passes: int, distinct: float, figures: dict[str, Any], passes_of_base: float) -> dict[str, float]:
    """Distinct composites that were judged for each judging pass, and over mining's, whose own rate is the base's with the same rule."""
    if not passes:
        return {}
    rate = distinct / passes
    of_base = figures.get("base_hard_rate", 0.0) / passes_of_base
    return {"found_per_pass": rate} | ({"yield_over_mining": rate / of_base} if of_base else {})
