"""Placements to files: shards, workers, resume."""

from terse.generate.making import generate, render
from terse.generate.settings import GenerateSettings
from terse.generate.trained import HardnessOf, LoadTrained, PosesFor, Trained

__all__ = [
    "GenerateSettings",
    "HardnessOf",
    "LoadTrained",
    "PosesFor",
    "Trained",
    "generate",
    "render",
]
