"""The seam to a trained run: who says where, and how hard it is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from terse.placements import Placements

__all__ = ["HardnessOf", "LoadTrained", "PosesFor", "Trained"]


class PosesFor(Protocol):
    """Poses of a synthesizer. Called with blocks of at most 64 pairs, in eval mode, on one thread."""

    def __call__(
        self,
        foreground: Int64[np.ndarray, " n"],
        background: Int64[np.ndarray, " n"],
        seeds: UInt64[np.ndarray, " n"],
    ) -> Float64[np.ndarray, "n k"]:
        """One pose a pair, of indices in the banks; equal calls give equal poses. The seeds are for noise inputs."""
        ...


class HardnessOf(Protocol):
    """The target's verdict. Called with blocks of at most 64 composites."""

    def __call__(self, placements: Placements) -> Float64[np.ndarray, " b"]:
        """1 - p of each composite: of its hardest pasted object."""
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """What a trained run lends to the generator; None falls back on uniform poses, or on no verdict."""

    poses_for: PosesFor | None = None
    hardness_of: HardnessOf | None = None


LoadTrained = Callable[[], Trained]
"""Can be pickled, and is called once in every worker: `functools.partial(function, folder)` will do."""
