"""What a page is made of: plain frozen values that the callers fill. No torch, no plotly, no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from terse.pictures.page_folder import Shown

if TYPE_CHECKING:
    from plotly import graph_objects as go

__all__ = [
    "Chart",
    "Command",
    "Fact",
    "Headline",
    "Kind",
    "PageData",
    "Table",
    "Tone",
]

Kind = Literal["train", "prove", "check", "generate", "masks"]
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
    shown: Shown = field(default_factory=Shown)
    recipe: str = ""  # the resolved YAML
    commands: Sequence[Command] = ()
    footer: str = ""
