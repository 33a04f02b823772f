"""Whether synthetic data helps this model on this data: arms, seeds, intervals, verdict."""

from terse.proof.intervals import Gain, overall_interval, student
from terse.proof.verdict import ARMS, MIN_SEEDS, judge, power, seeds_needed

__all__ = [
    "ARMS",
    "MIN_SEEDS",
    "Gain",
    "judge",
    "overall_interval",
    "power",
    "seeds_needed",
    "student",
]
