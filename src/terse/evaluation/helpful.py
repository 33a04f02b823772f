"""What is worth keeping because it helps: training on it would lower the target's loss on real images, the guide.

A step of gradient descent on a composite changes the guide's loss by -rate * grad L(guide) . grad L(composite). The
product is the slope of the composite's loss along the guide's gradient, so two forward passes give it, from weights a
short step to either side. L is Eq. 1 in eval mode and float32 for both (`objectives.target_loss_of`): of a composite's
pasted objects, of a real image's annotated ones. For a classifier that is -log p of the truth; for a detector -log p and
the box error of the anchors or proposals matched to each object. What a detector learns from the background does not
count: a composite that teaches it to keep silent is not seen to help.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor, nn

from terse.draws import uniform
from terse.evaluation.diversity import not_collected
from terse.evaluation.guide import HelpfulConfig
from terse.evaluation.hardness import HardnessRule, Passes, Verdict
from terse.modes import through_weights
from terse.objectives import target_loss_of
from terse.placements import Placements
from terse.protocols import Judges, RealImages
from terse.recipe_parts import ObjectiveConfig
from terse.types import Composites, Truth

__all__ = ["Helpful"]

_LEAST = 1e-30  # of a gradient's length


class Helpful(HardnessRule):
    """The gradient of the composite's loss points where the guide's does; of real images the rule is `of` alone.

    So it is before the first harvest, and where the guide's loss has no gradient.

    Attributes:
        settings: of the rule.
        guide: the images that steer, and the numbers of those among them that do; None before they are given.
        harvest: cycle and draw of the harvest that the cut is of; None before the first.
        cut: the quantile over base composites.

    Source: the product and its finite difference after Liu et al. 2019 (DARTS, 2.3), the choice of data by it after
    Pruthi et al. 2020 (TracIn); guide, cut and proportion are ours.
    """

    def __init__(self, of: HardnessRule, settings: HelpfulConfig) -> None:
        self.of, self.settings = of, settings
        self.of_probabilities = of.of_probabilities
        self.guide: tuple[RealImages, Int64[np.ndarray, " n"]] | None = None
        self.harvest: list[int] | None = None
        self.cut = 0.0
        self._passes_of_base: float | None = None
        self._weights: list[nn.Parameter] = []
        self._gradient: list[Tensor] = []
        self._length = 0.0

    def steer(self, weights: Sequence[nn.Parameter], gradient: Sequence[Tensor]) -> float:
        """Take this gradient of the guide's loss in these weights of the target; its length."""
        self._weights, self._gradient = list(weights), list(gradient)
        squares = [float(_wide(one).square().sum()) for one in gradient]
        self._length = float(np.sqrt(sum(squares)))
        return self._length

    @property
    def most_passes(self) -> int:
        """The verdict of `of`, then two forward passes, or a pass and a backward pass, which counts as two."""
        return 1 if self._length < _LEAST else 4 if self.settings.cosine else 3

    @property
    def passes_of_base(self) -> float:
        """As the base composites took that the cut is of."""
        return self._passes_of_base if self._passes_of_base is not None else float(self.most_passes)

    def judge(self, target: Judges, images: Tensor, truth: Truth) -> Verdict:
        """As `of`: what `terse generate` and a measurement on real images ask."""
        return self.of.judge(target, images, truth)

    def judge_composites(self, target: Judges, composites: Composites, placements: Placements) -> Verdict:
        """One pass of the target for each, two more for each that is asked; its weights are as before, bit for bit.

        With `cosine`, a pass and a backward pass for each that is asked.
        """
        verdict, rows, values = self.measure(target, composites)
        if values is None:
            return verdict
        seeds = placements.seed[rows].astype(np.uint64)
        kept = torch.zeros(len(placements), dtype=torch.bool)
        kept[torch.from_numpy(rows[self._kept(values, seeds)])] = True
        return Verdict(kept.to(verdict.hard.device), verdict.hardness, verdict.further)

    def measure(
        self, target: Judges, composites: Composites
    ) -> tuple[Verdict, Int64[np.ndarray, " k"], Float64[np.ndarray, " k"] | None]:
        """The verdict of `of` with what all this took, the composites that are asked, and how much each of them helps.

        None instead where nothing steers.
        """
        verdict = self.of.judge(target, composites.images, composites.truth)
        every = np.arange(len(composites.images))
        rows = every if self.settings.among == "all" else np.flatnonzero(verdict.hard.cpu().numpy())
        if self._length < _LEAST:
            return verdict, rows, None
        if not len(rows):
            return verdict, rows, np.zeros(0)
        asked = torch.from_numpy(rows).to(composites.images.device)
        images, truth = composites.images[asked], composites.truth.take(asked)
        with torch.autocast(images.device.type, enabled=False), not_collected():
            if self.settings.cosine:
                values, passes = (
                    self._cosines(target, images, truth),
                    Passes(target=len(rows), target_backwards=len(rows)),
                )
            else:
                values, passes = self._products(target, images, truth), Passes(target=2 * len(rows))
        return Verdict(verdict.hard, verdict.hardness, passes), rows, values.cpu().numpy()

    def calibrate(self, target: Judges, real: RealImages, device: torch.device | str) -> None:
        """The threshold of `of`."""
        self.of.calibrate(target, real, device)

    def cut_at(
        self, values: Float64[np.ndarray, " k"], harvest: tuple[int, int], passes_of_base: float | None = None
    ) -> None:
        """Find the cut for a harvest, from how much base composites help; without any, everything that helps is kept."""
        self._passes_of_base = passes_of_base
        self.cut = float(np.quantile(values, self.settings.quantile)) if len(values) else 0.0
        self.harvest = list(harvest)

    def state(self) -> Any:
        """Threshold and cut; the gradient is found again from the weights."""
        return {
            "of": self.of.state(),
            "harvest": self.harvest,
            "cut": self.cut,
            "passes_of_base": self._passes_of_base,
        }

    def restore(self, state: Any) -> None:
        """Go on with what `state` gave."""
        self.of.restore(state["of"])
        self.harvest, self.cut = state["harvest"], float(state["cut"])
        self._passes_of_base = state.get("passes_of_base")  # older states do not say

    def _kept(self, values: Float64[np.ndarray, " k"], seeds: np.ndarray) -> Bool[np.ndarray, " k"]:
        if self.settings.keep == "above":
            kept: Bool[np.ndarray, " k"] = values > self.cut
            return kept
        # Without a cut above 0 everything that helps is kept.
        return (values > 0) & (values > uniform(seeds, "helpful", 1)[:, 0] * max(self.cut, 0.0))

    @torch.no_grad()
    def _products(self, target: Judges, images: Tensor, truth: Truth) -> Float64[Tensor, " k"]:
        """What a step along the guide's gradient changes in each loss: the product of the two gradients."""
        loss_of = target_loss_of(target, ObjectiveConfig())
        step = self.settings.step / self._length
        losses = []
        for side in (1, -1):
            with self._moved(side * step):
                losses.append(loss_of(images, truth).cpu().double())
        return (losses[0] - losses[1]) / (2 * step)

    def _cosines(self, target: Judges, images: Tensor, truth: Truth) -> Float64[Tensor, " k"]:
        """The same over the lengths of both gradients, from each composite's own gradient."""
        loss_of = target_loss_of(target, ObjectiveConfig())
        found = torch.zeros(len(images), dtype=torch.float64)
        for row in range(len(images)):
            with through_weights(self._weights):
                loss = loss_of(images[row : row + 1], truth.take([row])).sum()
                if not loss.requires_grad:  # nothing of the object is matched
                    continue
                own = torch.autograd.grad(loss, self._weights, allow_unused=True)
            pairs = [(mine, theirs) for mine, theirs in zip(own, self._gradient, strict=True) if mine is not None]
            product = sum(float(_wide(mine * theirs).sum()) for mine, theirs in pairs)
            length = np.sqrt(sum(float(_wide(mine).square().sum()) for mine, _ in pairs))
            found[row] = product / (max(length, _LEAST) * self._length)
        return found

    @contextmanager
    def _moved(self, step: float) -> Iterator[None]:
        """The target so many times the guide's gradient further; copies of its weights are put back, not a difference."""
        before = [weight.detach().clone() for weight in self._weights]
        try:
            for weight, gradient in zip(self._weights, self._gradient, strict=True):
                weight.data.add_(gradient, alpha=step)
            yield
        finally:
            for weight, kept in zip(self._weights, before, strict=True):
                weight.data.copy_(kept)


def _wide(values: Tensor) -> Tensor:
    """In double precision, which MPS lacks; weights are too many to leave the device for every composite."""
    return values if values.device.type == "mps" else values.double()
