"""What is worth keeping beyond being hard: what a reference, which has seen composites of other cut-outs, gets right.

Hardness is a proxy: a hand cut out alone is hard and teaches nothing. Cut-outs are halved by source image; each of two
references learns the real training images and base composites of one half, and judges composites of the other.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.errors import RecipeError
from terse.evaluation.hardness import HardnessRule, Passes, Verdict
from terse.evaluation.reference import ReferenceConfig
from terse.placements import Placements
from terse.protocols import Judges, RealImages
from terse.types import Composites, Truth

__all__ = ["Learnable", "Reducible", "ReferenceRule", "halves_of"]

_LEAST = 1e-6  # of a probability


class ReferenceRule(HardnessRule):
    """A rule that asks a reference about composites; of real images it is `of` alone.

    Attributes:
        settings: of the references.
        references: judges of composites of the cut-outs of half 0 and of half 1, None before they are made.
        halves: the half of each foreground.
        fallen_back: the target has passed the references, and `of` alone decides.
        asked: composites that `of` called hard, and how many of these the references get right, since `told` was asked.
        accuracy: of the references on the half that each judges, and of the target on the same; None before they are compared.

    Source: ours.
    """

    def __init__(self, of: Sequence[HardnessRule], settings: ReferenceConfig) -> None:
        self.of, self._of_references = of[0], of[1:]
        self.of_probabilities = self.of.of_probabilities
        self.settings = settings
        self.references: tuple[Any, Any] | None = None
        self.halves: Int64[np.ndarray, " n"] | None = None
        self.fallen_back = False
        self.asked = [0, 0]
        self.accuracy: tuple[float, float] | None = None
        self.asked_an_image = 1.0

    @property
    def most_passes(self) -> int:
        """Of the target, and of the references while they are asked."""
        return 1 if self.fallen_back or self.references is None else 1 + math.ceil(self.asked_an_image)

    @property
    def passes_of_base(self) -> float:
        """As many references are asked about an image as in the last comparison."""
        return self.most_passes if self.most_passes == 1 else 1 + self.asked_an_image

    @abstractmethod
    def judge_composites(self, target: Judges, composites: Composites, placements: Placements) -> Verdict:
        """Which composites are worth keeping; passes of the references are counted beside the target's."""

    def judge(self, target: Judges, images: Float[Tensor, "b c h w"], truth: Truth) -> Verdict:
        """As `of`: what `terse generate` and a measurement on real images ask."""
        return self.of.judge(target, images, truth)

    def calibrate(self, target: Judges, real: RealImages, device: torch.device | str) -> None:
        """The threshold of `of`, on the target's scores, and on each reference's own."""
        self.of.calibrate(target, real, device)
        for rule, reference in zip(self._of_references, self.references or (), strict=False):
            rule.calibrate(reference, real, device)

    def compare(self, target: Judges, parts: Sequence[tuple[Composites, Placements]]) -> int:
        """Let references and target judge the same base composites; fall back where the target is better.

        Returns:
            How many passes that took.
        """
        wrong, count, passes = torch.zeros(2), 0, 0
        for composites, placements in parts:
            of_target = self.of.judge(target, composites.images, composites.truth)
            hard, _, asked = self._by_references(composites, placements, torch.arange(len(placements)))
            passes += asked
            wrong += torch.tensor([float(hard.sum()), float(of_target.hard.sum())])
            count += len(placements)
        self.accuracy = (1 - float(wrong[0]) / count, 1 - float(wrong[1]) / count)
        self.fallen_back = self.fallen_back or self.accuracy[1] > self.accuracy[0]
        self.asked_an_image = passes / count
        return count + passes

    def state(self) -> Any:
        """Thresholds, whether it has fallen back, and the counts."""
        rules = [rule.state() for rule in (self.of, *self._of_references)]
        return {"of": rules, "fallen_back": self.fallen_back, "asked": self.asked, "accuracy": self.accuracy} | {
            "asked_an_image": self.asked_an_image
        }

    def restore(self, state: Any) -> None:
        """Go on with what `state` gave."""
        for rule, own in zip((self.of, *self._of_references), state["of"], strict=True):
            rule.restore(own)
        self.fallen_back, self.asked = bool(state["fallen_back"]), list(state["asked"])
        self.accuracy = None if state["accuracy"] is None else (state["accuracy"][0], state["accuracy"][1])
        self.asked_an_image = float(state.get("asked_an_image", 1.0))  # older states do not say

    def _by_references(
        self, composites: Composites, placements: Placements, rows: Int64[Tensor, " k"]
    ) -> tuple[Tensor, Tensor, int]:
        """Whether these composites are hard for a reference that has not seen their cut-outs, 1 - p there, and its passes.

        Where cut-outs of both halves are in an image, the worse of both references counts.
        """
        assert self.references is not None, "make the references first"
        assert self.halves is not None
        hard = torch.zeros(len(placements), dtype=torch.bool)
        hardness, passes = torch.zeros(len(placements)), 0
        half_of_paste = self.halves[placements.foreground]
        for half, (reference, rule) in enumerate(zip(self.references, self._of_references, strict=True)):
            inside = np.unique(placements.image_index[half_of_paste == half])
            mine = rows[torch.isin(rows, torch.from_numpy(inside))]
            passes += len(mine)
            if len(mine):
                chosen = mine.to(composites.images.device)
                verdict = rule.judge(reference, composites.images[chosen], composites.truth.take(chosen))
                hard[mine] |= verdict.hard.cpu()
                hardness[mine] = torch.maximum(hardness[mine], verdict.hardness.float().cpu())
        return hard[rows], hardness[rows], passes


class Learnable(ReferenceRule):
    """Hard for the target, and not for a reference that has seen composites of other cut-outs.

    Of several pastes at least one is hard for the target, and each of these is right for the reference.

    Source: ours.
    """

    @property
    def passes_of_base(self) -> float:
        """A reference sees what is hard for the target alone: as often as the last comparison found it."""
        if self.most_passes == 1 or self.accuracy is None:
            return self.most_passes
        return 1 + (1 - self.accuracy[1]) * self.asked_an_image

    def judge_composites(self, target: Judges, composites: Composites, placements: Placements) -> Verdict:
        """One pass of the target for each, and of the references asked for each that is hard."""
        verdict = self.of.judge(target, composites.images, composites.truth)
        rows = torch.nonzero(verdict.hard.cpu()).flatten()
        if self.fallen_back or self.references is None or not len(rows):
            return verdict
        asked = composites
        if verdict.objects is not None:
            truth = composites.truth
            asked = replace(
                composites, truth=replace(truth, pasted=truth.pasted & verdict.objects.to(truth.pasted.device))
            )
        wrong, _, passes = self._by_references(asked, placements, rows)
        self.asked = [self.asked[0] + len(rows), self.asked[1] + int((~wrong).sum())]
        kept = torch.zeros(len(placements), dtype=torch.bool)
        kept[rows[~wrong]] = True
        return Verdict(kept.to(verdict.hard.device), verdict.hardness, Passes(reference=passes))


class Reducible(ReferenceRule):
    """The target's loss, -log p, exceeds the reference's by more than a quantile of base composites does.

    Source: Mindermann et al. 2022 (reducible holdout loss); halves and the cut are ours.
    """

    def __init__(self, of: Sequence[HardnessRule], settings: ReferenceConfig, quantile: float) -> None:
        super().__init__(of, settings)
        self.quantile = quantile
        self.above: float | None = None

    def judge_composites(self, target: Judges, composites: Composites, placements: Placements) -> Verdict:
        """One pass of the target, and of the references asked, for each."""
        verdict = self.of.judge(target, composites.images, composites.truth)
        if self.fallen_back or self.references is None or self.above is None:
            return verdict
        gap, passes = self._reducible(verdict, composites, placements)
        return Verdict((gap > self.above).to(verdict.hard.device), verdict.hardness, Passes(reference=passes))

    def compare(self, target: Judges, parts: Sequence[tuple[Composites, Placements]]) -> int:
        """Also the cut: the quantile over these base composites."""
        passes = super().compare(target, parts)
        judged = [(self.of.judge(target, one.images, one.truth), one, placements) for one, placements in parts]
        gaps = torch.cat([self._reducible(*one)[0] for one in judged])
        self.above = float(torch.quantile(gaps, self.quantile))
        return 2 * passes

    def state(self) -> Any:
        """The cut beside the rest."""
        return {**super().state(), "above": self.above}

    def restore(self, state: Any) -> None:
        """Go on with what `state` gave."""
        super().restore(state)
        self.above = state["above"]

    def _reducible(
        self, verdict: Verdict, composites: Composites, placements: Placements
    ) -> tuple[Float[Tensor, " b"], int]:
        _, theirs, passes = self._by_references(composites, placements, torch.arange(len(placements)))
        ours = verdict.hardness.float().cpu()
        found: Tensor = torch.log((1 - theirs).clamp(min=_LEAST)) - torch.log((1 - ours).clamp(min=_LEAST))
        return found, passes


def halves_of(
    keys: Sequence[str], labels: Int64[np.ndarray, " n"], classes: Sequence[str], wanted: Sequence[int]
) -> Int64[np.ndarray, " n"]:
    """The half of each foreground: those of one photograph stay together, and each wanted class is in both halves.

    Raises:
        RecipeError: a class whose cut-outs all come from one photograph.

    Source: ours.
    """
    photographs = [key.rsplit(":", 1)[0] if key.count(":") > 1 else key for key in keys]
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(photographs):
        rows.setdefault(name, []).append(row)
    own = [labels[of_one] for of_one in rows.values()]
    half = np.zeros(len(own), dtype=np.int64)
    counts = np.zeros((2, len(classes)), dtype=np.int64)
    for number in np.random.default_rng(0).permutation(len(own)).tolist():
        held = own[number]
        half[number] = int(counts[0][held].sum() > counts[1][held].sum())
        np.add.at(counts[half[number]], held, 1)
    lacking = _with_each_class(half, own, counts, np.asarray(wanted))
    if lacking:
        alone = [label for label in lacking if sum(label in held for held in own) < 2]
        named = ", ".join(classes[label] for label in alone or lacking)
        wish, got = "cut-outs of at least two photographs of each class", f"one of {named}"
        if not alone:
            wish, got = "photographs that can be halved with each class in both halves", f"none for {named}"
        raise RecipeError(
            f"hardness.reference: expected {wish}, so that one half can "
            f"judge the other, got {got}; leave the class out or take another hardness.kind"
        )
    halves = np.zeros(len(keys), dtype=np.int64)
    for of_one, number in zip(rows.values(), half.tolist(), strict=True):
        halves[of_one] = number
    return halves


def _with_each_class(
    half: Int64[np.ndarray, " photographs"],
    own: Sequence[Int64[np.ndarray, " _"]],
    counts: Int64[np.ndarray, "2 classes"],
    wanted: Int64[np.ndarray, " wanted"],
) -> list[int]:
    """Move photographs to the other half, each once at most, until no wanted class is in one half alone.

    A rare class beside common ones may stand in one half, since photographs are spread by all that they hold. The next to move
    is the one that leaves the fewest classes so.

    Returns:
        The classes that are still in one half alone; `half` and `counts` are changed in place.
    """

    def lacking(of_halves: Int64[np.ndarray, "2 classes"]) -> Int64[np.ndarray, " k"]:
        found: Int64[np.ndarray, " k"] = wanted[~of_halves[:, wanted].all(axis=0)]
        return found

    def moved(number: int) -> Int64[np.ndarray, "2 classes"]:
        held = np.bincount(own[number], minlength=counts.shape[1])
        sign = 1 - 2 * half[number]
        after: Int64[np.ndarray, "2 classes"] = counts - sign * np.stack([held, -held])
        return after

    still = set(range(len(own)))
    while len(left := lacking(counts)):
        candidates = [number for number in sorted(still) if np.isin(own[number], left).any()]
        if not candidates:
            break
        best = min(candidates, key=lambda number: len(lacking(moved(number))))
        counts[:], half[best] = moved(best), 1 - half[best]
        still.remove(best)
    return [int(label) for label in lacking(counts)]
