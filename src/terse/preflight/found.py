"""What a check finds, what it looked at, and who is told while it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from terse.report.check_page import Finding
from terse.sources.annotations import Annotations
from terse.tasks.answers import Box

__all__ = ["Found", "Part", "Show", "sampled"]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the recipe's sources as it was read, or the data that were named without a recipe."""

    name: str
    notes: Annotations
    leave_out: Path | None = None  # the list that it takes already
    held_out_of: str | None = None  # the part that it is a fraction of, whose list is its own


@dataclass(frozen=True, slots=True)
class Show:
    """A picture of the page: an image, of it some objects or detections, beside it perhaps another image."""

    notes: Annotations
    image: int
    objects: tuple[int, ...] = ()
    detections: tuple[Box, ...] = ()
    beside: tuple[Annotations, int] | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """One kind of trouble, the lines of each part's list that mend it or may mend it, and pictures of it."""

    weight: Literal["error", "warning", "note"]
    name: str
    where: str
    advice: str
    examples: Sequence[str] = ()
    leave_out: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by part
    shows: Sequence[Show] = ()
    look_first: Mapping[str, Sequence[str]] = field(default_factory=dict)  # lines for the user to decide on

    @property
    def finding(self) -> Finding:
        """As the page takes it."""
        return Finding(self.weight, self.name, self.where, self.advice, self.examples)


def sampled(count: int, most: int) -> list[int]:
    """At most so many of the numbers below count, evenly spread; all of them where `most` is 0."""
    if not most or count <= most:
        return list(range(count))
    return [int(i) for i in np.linspace(0, count - 1, most).round()]
