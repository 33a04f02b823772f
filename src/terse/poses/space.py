"""The space of a family's poses: which numbers there are, within which limits, and how they are drawn and bounded.

Nothing here imports torch at the top, as in `terse.poses.family`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import TypeVar

    import torch
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor

    Numbers = TypeVar("Numbers", np.ndarray, Tensor)

__all__ = ["PoseSpace", "beside", "laid_out"]


class PoseSpace(ABC):
    """Bounded numbers.

    Attributes:
        names: one a number, in the order of a pose.
        ranges: the limits of each number.
        wraps: the places of numbers whose range is a full turn: its ends are one pose.

    Source: paper A.1.
    """

    names: tuple[str, ...]
    ranges: Sequence[tuple[float, float]]
    wraps: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers one pose has."""
        return len(self.names)

    @property
    def free(self) -> list[int]:
        """The places of the numbers that can differ: those whose range has two ends."""
        return [place for place, (low, high) in enumerate(self.ranges) if high > low]

    def from_unit(self, unit: Numbers) -> Numbers:
        """Numbers in [0, 1] to values in the ranges.

        Takes tensors, and arrays without importing torch, as `to_unit` and `of_classes` do.
        """
        low, high = self._limits(unit)
        pose: Numbers = low + (high - low) * unit
        return pose

    def to_unit(self, pose: Numbers) -> Numbers:
        """Poses with each range scaled to [0, 1]."""
        low, high = self._limits(pose)
        unit: Numbers = (pose - low) / (high - low).clip(1e-9)
        return unit

    def random_unit(self, uniform: Numbers) -> Numbers:
        """Uniform numbers in [0, 1] to those that `from_unit` takes to this family's random poses; each grows alone."""
        return uniform

    def from_raw(self, raw: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Unbounded outputs to values inside the ranges by a sigmoid; 0 is the middle.

        A number that wraps goes round and round instead, as steeply as the sigmoid's middle.

        Source: ours; the paper clamps (A.1), which has no gradient at the border.
        """
        import torch

        unit = raw.sigmoid()
        if self.wraps:
            places = list(self.wraps)
            turned = torch.remainder(0.5 + raw[:, places] / 4, 1.0)
            unit = unit.index_copy(1, torch.tensor(places, device=raw.device), turned)
        return self.from_unit(unit)

    def to_raw(self, unit: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Unbounded outputs that `from_raw` takes to these numbers in [0, 1], each range scaled."""
        import torch

        raw = torch.logit(unit, eps=1e-4)
        for place in self.wraps:
            raw[:, place] = (unit[:, place] - 0.5) * 4
        return raw

    def random(self, count: int, generator: torch.Generator | None = None) -> Float[Tensor, "count k"]:
        """Random poses: with affNIST's ranges, affNIST's own recipe.

        Source: Tieleman 2013 (affNIST).
        """
        import torch

        return self.from_unit(self.random_unit(torch.rand(count, self.size, generator=generator)))

    def limits_of(self, name: str) -> tuple[float, float] | None:
        """The range of a number by name; None where the family has none of that name."""
        return self.ranges[self.names.index(name)] if name in self.names else None

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Classes that have ranges of their own."""
        return ()

    def ranges_of(self, name: str) -> Sequence[tuple[float, float]]:
        """The limits of each number for a class by name; `ranges` hold all of them."""
        return self.ranges

    def of_classes(self, pose: Numbers, labels: Int64[np.ndarray, " b"], classes: Sequence[str]) -> Numbers:
        """Poses over the whole ranges, moved into the ranges of each paste's class.

        Source: ours.
        """
        if not self.named_classes:
            return pose
        low, high = _ends(pose, np.array([self.ranges_of(name) for name in classes])[labels])
        moved: Numbers = low + (high - low) * self.to_unit(pose)
        return moved

    def unit_of_classes(self, pose: Numbers, labels: Int64[np.ndarray, " b"], classes: Sequence[str]) -> Numbers:
        """Poses with each range of the paste's class scaled to [0, 1].

        Source: ours.
        """
        if not self.named_classes:
            return self.to_unit(pose)
        low, high = _ends(pose, np.array([self.ranges_of(name) for name in classes])[labels])
        unit: Numbers = (pose - low) / (high - low).clip(1e-9)
        return unit

    def _limits(self, like: Numbers) -> tuple[Numbers, Numbers]:
        return _ends(like, np.array(self.ranges).reshape(-1, 2))


def laid_out(unit: Numbers, wraps: Sequence[int]) -> Numbers:
    """Poses in [0, 1] as points whose distances are the poses': a number that wraps goes round a circle of length 1.

    Args:
        unit: an array or, differentiably, a tensor of the shape (n, k).
        wraps: the places of the numbers that go round: 0 and 1 are one.

    Source: ours.
    """
    import torch

    if isinstance(unit, np.ndarray):
        return laid_out(torch.from_numpy(unit), wraps).numpy()
    if not wraps:
        return unit
    flat = [place for place in range(unit.shape[1]) if place not in wraps]
    angle = 2 * np.pi * unit[:, list(wraps)]
    return torch.cat([unit[:, flat], angle.cos() / (2 * np.pi), angle.sin() / (2 * np.pi)], dim=1)


def _ends(like: Numbers, limits: np.ndarray) -> tuple[Numbers, Numbers]:
    """The lower and the upper ends of ranges, pairs along the last axis, as numbers of the other's type."""
    return beside(like, limits[..., 0]), beside(like, limits[..., 1])


def beside(numbers: Numbers, values: Float64[np.ndarray, "*_"]) -> Numbers:
    """The values as a tensor beside a tensor, of its type; as an array of its type beside an array.

    Source: ours.
    """
    if isinstance(numbers, np.ndarray):
        return values.astype(numbers.dtype)
    import torch

    return torch.from_numpy(values).to(numbers)
