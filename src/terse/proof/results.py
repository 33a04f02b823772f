"""What a proof writes about itself: the typed content of its JSON files.

`read_proof` and `read_measured` read them. No torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from terse.results import FORMAT, Coverage, Figures, HardnessCounts, Metrics, Record, RunResult, Shortcut, read_record

__all__ = [
    "ArmCosts",
    "ArmFigures",
    "BudgetTable",
    "CoverageMeans",
    "GainFigures",
    "HardShares",
    "Interval",
    "Judgement",
    "KeptRun",
    "Measured",
    "Point",
    "ProofResult",
    "read_measured",
    "read_proof",
]


class Measured(Record):
    """`measured.json` of an arm: what the proof needs beside its run's result."""

    units: list[float]
    """Results whose mean is the primary metric, image by image or block by block."""
    hardness: list[float]
    """1 - p of its composites under the frozen start."""
    coverage: Coverage | None = None
    proposed: list[list[float]] = Field(default_factory=list)
    """The same of what it proposes at its end, before anything is kept: one list a set. Older proofs have none."""
    halves: list[float] = Field(default_factory=list)
    """The primary metric on half-samples of the test's clusters, the same ones in every arm and seed; lower is not worse
    by itself. Empty where the recipe names no clusters."""
    groups: dict[str, dict[str, Figures]] = Field(default_factory=dict)
    """Figures of the test images by their own fields, and of objects that the border cuts or not."""


class KeptRun(Record):
    """A finished run as a file to be committed; see `proof.kept`."""

    format: int = FORMAT
    settings: dict[str, Any]
    """Those that the figures depend on, paths cut to their last two parts."""
    environment: dict[str, str] = Field(default_factory=dict)
    result: RunResult
    measured: Measured


class Interval(Record):
    """A mean and its interval; low and high are None where the data cannot tell."""

    mean: float
    low: float | None = None
    high: float | None = None


class ArmFigures(Interval):
    """An arm's primary metric, Student's interval over its seeds."""

    per_seed: list[float]


class GainFigures(Interval):
    """A paired gain, Student's interval over the seeds."""

    per_seed: list[float]
    images: Interval | None = None
    """The bootstrap over images; None without per-image results."""
    overall: Interval | None = None
    """Both kinds of chance together, which the verdict rests on; None without per-image results."""
    clusters: Interval | None = None
    """The chance of seeds and of the test's clusters, by half-samples; None where the recipe names no clusters."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The outermost of the seeds', the overall and the clusters' interval, on which the verdict rests; None without."""
        parts = (self, self.overall, self.clusters)
        known = [(i.low, i.high) for i in parts if i and i.low is not None and i.high is not None]
        return (min(low for low, _ in known), max(high for _, high in known)) if known else None

    @property
    def of_record(self) -> Interval:
        """The interval that the verdict rests on."""
        low, high = self.bounds or (None, None)
        return Interval(mean=self.mean, low=low, high=high)


class Point(Metrics):
    """The primary metric after a cycle, mean over the seeds, with the lowest and highest seed beside it."""

    samples: float
    target_forwards: float
    target_backwards: float
    low: float | None = None
    high: float | None = None


class CoverageMeans(Record):
    """Figures of `Coverage`, means over the seeds."""

    entropy: float | None = None
    duplicates: float | None = None
    near_duplicates: float | None = None
    feature_distance: float | None = None


class HardShares(Record):
    """Share of an arm's composites with p below 0.5 under the frozen start, one number a set, three sets a seed."""

    proposes: list[float]
    """Of what it proposes at its end; empty in older proofs."""
    keeps: list[float]
    """Of its pool, every third composite in a set."""


class ArmCosts(Record):
    """What an arm spent over all cycles, means over the seeds."""

    samples: float
    target_forwards: float
    target_backwards: float
    synthesizer_forwards: float
    judging_passes: float | None = None
    """Of the target's, what was spent to propose and to choose; a backward pass counts as two."""
    seconds: float
    hard_rate: float | None = None
    """In the last cycle."""
    topped_up: float | None = None
    """Composites that nobody judged, where judging passes are bounded."""


class BudgetTable(Record):
    """Arms with equal pools and equal target steps, and one bound of judging passes."""

    passes_per_wanted: float | None = None
    """The bound for each wanted composite; None: judging is free, and its passes stand beside."""
    arms: list[str]
    over_mined: dict[str, GainFigures] = Field(default_factory=dict)
    """Each other arm's gain over mining under the same bound; empty without it."""


class Judgement(Record):
    """The verdict on one comparison, and what it rests on."""

    verdict: Literal["go", "no_go", "undecided"]
    reason: str
    treatment: str
    reference: str
    gain: GainFigures
    """The treatment's over the reference."""
    arms: dict[str, ArmFigures]
    gains: dict[str, GainFigures]
    """Each arm's over the reference."""
    over: dict[str, GainFigures] = Field(default_factory=dict)
    """The treatment's over each other arm: whether it is better than what is cheaper."""
    worth: float = 0.0
    """The smallest gain worth having."""
    more_seeds: int | None = None
    """How many more seeds would settle it; 0 once settled, None where no number of seeds is known to."""


class ProofResult(Judgement):
    """`result.json` of a proof, and what `terse prove --json` prints."""

    format: int = FORMAT
    out: str | None = None
    primary: str
    arm_overrides: dict[str, list[str]] = Field(default_factory=dict)
    """What each arm changes in the recipe, as key=value; empty for the arms that are kinds of synthesizers."""
    seeds: list[int]
    curves: dict[str, list[Point]]
    metrics: dict[str, Figures] = Field(default_factory=dict)
    """Every metric of each arm at the end, means over the seeds."""
    by_class: dict[str, dict[str, float | None]] = Field(default_factory=dict)
    """The primary metric of each arm and class at the end, means over the seeds."""
    hardness: dict[str, HardnessCounts]
    hard_shares: dict[str, HardShares] = Field(default_factory=dict)
    coverage: dict[str, CoverageMeans]
    costs: dict[str, ArmCosts]
    tables: list[BudgetTable] = Field(default_factory=list)
    """*quality* (no bound) and one *budget* table for each bound; arms that judge nothing stand in all of them."""
    groups: dict[str, dict[str, dict[str, Figures]]] = Field(default_factory=dict)
    """By arm, field of the test images and its value: figures, means over the seeds."""
    shortcut: Shortcut | None = None
    alarms: list[str] = Field(default_factory=list)
    seconds: float
    """Of all runs together."""
    elapsed_seconds: float | None = None

    @property
    def shares_of_hard(self) -> dict[str, HardShares]:
        """`hard_shares`; of an older proof those of what was kept, as one set."""
        if self.hard_shares:
            return self.hard_shares
        counts = {arm: of.counts for arm, of in self.hardness.items() if any(of.counts)}
        return {arm: HardShares(proposes=[], keeps=[sum(of[len(of) // 2 :]) / sum(of)]) for arm, of in counts.items()}


def read_proof(folder: Path) -> ProofResult:
    """The result of a finished proof.

    Raises:
        RunError: none, one that cannot be read, or one of another format.
    """
    return read_record(folder / "result.json", ProofResult, "a finished proof's result")


def read_measured(folder: Path) -> Measured:
    """What was measured of a proof's arm.

    Raises:
        RunError: none, or one that cannot be read.
    """
    return read_record(folder / "measured.json", Measured, "an arm's measurements")
