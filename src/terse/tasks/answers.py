"""What a model's answers look like on a page: plain values, without pictures, made by a task and drawn by the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Answer", "Answers", "Box", "Change"]


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open xyxy box in pixels of its image."""

    xyxy_px: tuple[float, float, float, float]
    label: str
    score: float | None = None
    state: Literal["truth", "correct", "missed", "false"] = "truth"


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer to one image: boxes for a detector, a few words for a classifier."""

    caption: str
    boxes: Sequence[Box] = ()
    tone: Literal["plain", "good", "bad"] = "plain"


@dataclass(frozen=True, slots=True)
class Change:
    """The answers of two models to image number `row`."""

    row: int
    name: str
    before: Answer
    after: Answer


@dataclass(frozen=True, slots=True)
class Answers:
    """The images worth showing, and a sentence that says how they were chosen."""

    changes: Sequence[Change] = ()
    note: str = ""
