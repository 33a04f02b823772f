"""What became of a harvest's candidates, class by class."""

import numpy as np
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

__all__ = ["Tally"]

_PASSED_OVER, _LOOKED_AT, _WORTH, _HARD = range(4)


class Tally:
    """Counts of candidates by the class of their lowest object: passed over, judged, worth a verdict, hard.

    Args:
        classes: how many there are.

    Source: ours.
    """

    def __init__(self, classes: int) -> None:
        self._counts = np.zeros((4, classes), dtype=np.int64)

    def passed_over(self, labels: Int64[np.ndarray, " b"]) -> None:
        """Candidates that nobody judges: their class wants no more, or the arm keeps whatever it draws."""
        self._add(_PASSED_OVER, labels)

    def looked_at(
        self, labels: Int64[np.ndarray, " b"], worth: Bool[np.ndarray, " b"], hard: Bool[np.ndarray, " b"]
    ) -> None:
        """Candidates that were drawn, with what was found."""
        for row, chosen in ((_LOOKED_AT, slice(None)), (_WORTH, worth), (_HARD, hard)):
            self._add(row, labels[chosen])

    @property
    def seen(self) -> int:
        """All candidates."""
        return int(self._counts[[_PASSED_OVER, _LOOKED_AT]].sum())

    @property
    def worth(self) -> int:
        """Those in which a pasted object could be seen well enough."""
        return int(self._counts[_WORTH].sum())

    @property
    def hard_rate(self) -> float:
        """The share of hard ones among all that are worth a verdict; what was passed over counts as its class does."""
        passed_over, looked_at, worth, hard = self._counts
        weight = 1 + passed_over / np.maximum(1, looked_at)
        return float((weight * hard).sum() / max(1.0, float((weight * worth).sum())))

    def state(self) -> Tensor:
        """For a checkpoint."""
        return torch.from_numpy(self._counts.copy())

    def restore(self, state: Tensor) -> None:
        """Go on with what a checkpoint holds."""
        self._counts = state.numpy().copy()

    def _add(self, row: int, labels: Int64[np.ndarray, " k"]) -> None:
        self._counts[row] += np.bincount(labels, minlength=self._counts.shape[1])
