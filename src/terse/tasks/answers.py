"""What a model's answers look like on a page: plain values, without pictures, made by a task and drawn by the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool

__all__ = ["Answer", "Answers", "Box", "Change", "State", "box_of_mask", "outline_of"]

State = Literal["truth", "correct", "missed", "false"]
_SMALL_PX = 96  # of an image whose pixels a page shows enlarged


@dataclass(frozen=True, slots=True)
class Box:
    """A half-open xyxy box in pixels of its image."""

    xyxy_px: tuple[float, float, float, float]
    label: str
    score: float | None = None
    state: State = "truth"
    outline: str | None = None  # an SVG path in pixels of the image, drawn instead of the box


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


def box_of_mask(mask: Bool[np.ndarray, "h w"], label: str, score: float | None, state: State) -> Box:
    """What is drawn of a mask with at least one pixel: its outline, and the label at its box."""
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = float(columns[0]), float(rows[0]), float(columns[-1]) + 1, float(rows[-1]) + 1
    return Box(box, label, score, state, outline_of(mask))


def outline_of(mask: Bool[np.ndarray, "h w"]) -> str:
    """The mask as an SVG path in its own pixels; holes are sub-paths, to be filled by the even-odd rule."""
    import cv2
    import numpy as np

    # findContours runs through pixel centres; repeating each pixel keeps the rim where it is to an eighth of a pixel.
    repeat = 4 if max(mask.shape) <= _SMALL_PX else 1
    large = mask.astype(np.uint8)
    if repeat > 1:
        large = large.repeat(repeat, axis=0).repeat(repeat, axis=1)
    contours, _ = cv2.findContours(large, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    parts = []
    for contour in contours:
        short = cv2.approxPolyDP(contour, max(mask.shape) * repeat / 300, closed=True)
        if len(short) < 3:
            continue
        points = np.round((short[:, 0, :].astype(np.float64) + 0.5) / repeat, 1)
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points) + "Z")
    return "".join(parts)
