"""What a model fails, by shape and by kind: objects that it misses beside those pasted against it, and modes of failure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from terse.page_figures import ObjectShapes
from terse.types import Truth

__all__ = ["Clusters", "Shapes", "pair_entropy"]

_TOUCHES_PX = 1.0
_CHANCE = 1.358  # of Kolmogorov's law at 95 %


@dataclass(frozen=True, slots=True)
class Shapes:
    """Objects by their visible boxes on a square canvas.

    Source: paper, Fig. 11, which speaks of small scales, horizontal poses and truncation; the three numbers are ours.
    """

    size: Float64[np.ndarray, " n"]  # square root of the area over the canvas's side
    aspect: Float64[np.ndarray, " n"]  # width over height
    cut: Bool[np.ndarray, " n"]  # the box touches the border

    @classmethod
    def of(cls, truth: Truth, side_px: float) -> "Shapes":
        """Those of all objects of a truth."""
        boxes = truth.boxes_px.cpu().double().numpy()
        width, height = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).T
        touches = np.column_stack([boxes[:, :2] <= _TOUCHES_PX, boxes[:, 2:] >= side_px - _TOUCHES_PX])
        return cls(np.sqrt(width * height) / side_px, width / height.clip(min=1e-6), np.asarray(touches.any(axis=1)))

    @classmethod
    def join(cls, parts: "list[Shapes]") -> "Shapes":
        """The objects of consecutive batches, in their order."""
        none = cls(np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
        columns = ((part.size, part.aspect, part.cut) for part in [*parts, none])
        return cls(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def take(self, rows: Bool[np.ndarray, " n"]) -> "Shapes":
        """The objects of these rows."""
        return Shapes(self.size[rows], self.aspect[rows], self.cut[rows])

    def summary(self, missed: "Shapes | None" = None) -> ObjectShapes:
        """Their medians, and how far they lie from the objects that a model misses."""
        count = len(self.size)
        if not self.size.any():  # no objects, or a classifier's, which have no boxes
            return ObjectShapes(objects=count)
        told = ObjectShapes(
            objects=count,
            size=float(np.median(self.size)),
            aspect=float(np.median(self.aspect)),
            cut=float(self.cut.mean()),
        )
        if missed is None or not missed.size.any():
            return told
        others = len(missed.size)
        return told.model_copy(
            update={
                "distance": self._distance(missed),
                "by_chance": float(_CHANCE * np.sqrt((count + others) / (count * others))),
            }
        )

    def _distance(self, other: "Shapes") -> Mapping[str, float]:
        from scipy.stats import ks_2samp

        pairs = {"size": (self.size, other.size), "aspect": (self.aspect, other.aspect)}
        largest = {name: float(ks_2samp(*pair, method="asymp").statistic) for name, pair in pairs.items()}
        return {**largest, "cut": abs(float(self.cut.mean()) - float(other.cut.mean()))}


def pair_entropy(labels: Int64[np.ndarray, " n"], said: Int64[np.ndarray, " n"]) -> tuple[float, int]:
    """The entropy in bits of the pairs (true, said) of objects that a model gets wrong, and how many pairs occur.

    0 is a single mode of failure.

    Source: paper, Fig. 4 ("from single modes of failure to multiple modes"); the number is ours.
    """
    wrong = labels != said
    _, counts = np.unique(np.column_stack([labels, said])[wrong], axis=0, return_counts=True)
    shares = counts / max(1, counts.sum())
    return max(0.0, float(-(shares * np.log2(shares)).sum())), len(counts)


class Clusters:
    """Clusters of base composites in a frozen model's features, to which other composites are counted.

    Hard ones that fill all clusters as base composites do fail in as many ways as there are; those that fill few fail in
    few modes.

    Source: ours, after the bins of Richardson and Weiss 2018.
    """

    def __init__(self, base: Float[np.ndarray, "n d"], count: int, seed: int = 0) -> None:
        from scipy.cluster.vq import kmeans2

        self._mean, self._scale = base.mean(axis=0), base.std(axis=0) + 1e-9
        self._centres, _ = kmeans2((base - self._mean) / self._scale, count, minit="++", seed=seed)

    def filled(self, rows: Float[np.ndarray, "m d"]) -> float:
        """How many clusters the rows fill: the exponential of the entropy of their shares."""
        from scipy.cluster.vq import vq

        nearest, _ = vq((rows - self._mean) / self._scale, self._centres)
        shares = np.bincount(nearest) / max(1, len(nearest))
        shares = shares[shares > 0]
        return float(np.exp(-(shares * np.log(shares)).sum()))
