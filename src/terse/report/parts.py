"""What a page is made of: plain frozen values that the callers fill. No torch, no plotly, no HTML."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from terse.tasks.answers import Answer, Box

if TYPE_CHECKING:
    from plotly import graph_objects as go

__all__ = [
    "BeforeAfter",
    "Chart",
    "Command",
    "Fact",
    "Gallery",
    "GalleryItem",
    "Headline",
    "Kind",
    "PageData",
    "Sheet",
    "Streamed",
    "Table",
    "Tone",
]

Kind = Literal["train", "prove", "check", "generate"]
Tone = Literal["plain", "good", "bad", "unsure"]


@dataclass(frozen=True, slots=True)
class Fact:
    """One number in large type, with its name above it and what it is to be compared with below."""

    name: str
    value: str
    note: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Headline:
    """The answer of a proof or a check: one word in colour and a sentence that says why."""

    word: str
    sentence: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Chart:
    """A plotly figure, its heading, and what to see in it in a sentence.

    A trace whose `meta` is `{"tone": NAME}` takes the colour of that name in the page's light and dark palettes
    (the arms' names, `start`, `end`, `muted`); other traces take the next of the palette.
    """

    name: str  # of the element, and so of the link to it: letters, digits, hyphens
    heading: str
    caption: str
    figure: go.Figure
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of ready-made texts: numbers, which stand right on one line, or prose, which stands left and wraps."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet, RGB or RGBA; sheets of one group stand under one heading."""

    group: str
    heading: str
    image: npt.NDArray[np.uint8]
    alt: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One image of the gallery: RGB, RGBA or grey `(h, w)` / `(h, w, 1)`.

    Boxes and masks are in pixels of the image as it is given here, at any resolution.
    """

    image: npt.NDArray[np.uint8]
    class_name: str
    boxes: Sequence[Box] = ()
    masks: Sequence[npt.NDArray[np.bool_]] = ()
    cycle: int | None = None
    hardness: float | None = None
    arm: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)  # shown on a click: JSON values only


@dataclass(frozen=True, slots=True)
class Streamed(Collection[GalleryItem]):
    """Items drawn while the page is written, so that thousands of composites are never in memory together."""

    count: int
    items: Iterator[GalleryItem]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[GalleryItem]:
        return self.items

    def __contains__(self, item: object) -> bool:
        return False  # an iterator cannot be searched without being used up


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images to browse. A filter whose values are all alike is left out of the page."""

    items: Collection[GalleryItem] = ()
    note: str = ""  # for example "2,000 of 12,340: every sixth"
    class_word: str = "Class"
    arm_word: str = "Arm"
    hardness_word: str = "Hardness"


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One real image under the model at the start and at the end (paper, Fig. 9)."""

    image: npt.NDArray[np.uint8]
    before: Answer
    after: Answer
    name: str = ""


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type, and what it does."""

    line: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageData:
    """A whole page. Every text is plain text: the page escapes it."""

    title: str
    kind: Kind
    name: str = ""  # of the recipe or the data
    summary: Sequence[str] = ()  # sentences that a reader who stops here has read
    headline: Headline | None = None
    facts: Sequence[Fact] = ()
    alarms: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    sheets: Sequence[Sheet] = ()
    before_after: Sequence[BeforeAfter] = ()
    before_after_note: str = ""  # how these images were chosen
    gallery: Gallery = Gallery()
    recipe: str = ""  # the resolved YAML
    commands: Sequence[Command] = ()
    footer: str = ""
