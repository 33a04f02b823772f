"""Which images a run's figures are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

__all__ = ["Judging", "judging_images"]

Judging = Literal["test", "validation"]
"""The images that figures are of."""


def judging_images(settings: Mapping[str, Any]) -> Judging:
    """The images that the figures of a recipe's run are of: those of val where its sources name no test."""
    stands_in = settings.get("train") is not None and settings.get("data") is None and settings.get("test") is None
    return "validation" if stands_in else "test"
