"""What a page is made of: plain frozen values that the callers fill. No torch, no plotly, no HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from terse.pictures.page_folder import Shown
from terse.results import Figures
from terse.tasks.task import known_metrics, metric_of

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
    "change",
    "count",
    "duration",
    "in_text",
    "metric_names",
    "number",
    "score",
    "words",
]

Kind = Literal["train", "prove", "check", "generate", "masks"]
Tone = Literal["plain", "good", "bad", "unsure"]
WORDS = {
    "cut_paste_learn": "cut-paste-learn",
    "hard_rate": "Hard rate",
    "samples": "Samples",
    "target_forwards": "Target forwards",
    "target_backwards": "Target backwards",
    "synthesizer_forwards": "Synthesizer forwards",
    "judging_passes": "Judging passes",
    "found_per_pass": "Found per judging pass",
    "yield_over_mining": "Yield over mining",
    "rank_correlation": "Critic's rank correlation",
    "drift": "Drift from mining",
    "discriminator_auc": "Discriminator AUC",
    "seconds": "Seconds",
}


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
    """A table of ready-made texts on one line, numbers right and names left, or prose, which stands left and wraps."""

    heading: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    prose: bool = False

    def named(self, column: int) -> bool:
        """Whether the column holds names: texts that all begin with a letter."""
        texts = [text for row in self.rows if (text := row[column])]
        return bool(texts) and all(text[0].isalpha() for text in texts)


@dataclass(frozen=True, slots=True)
class Command:
    """A line to type, and what it does."""

    line: str
    does: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageData:
    """A whole page. Every text is plain text: the page escapes it, and shows as code what stands in backticks."""

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


def words(name: str) -> str:
    """A name of `result.json` as a heading."""
    return WORDS.get(name) or metric_of(name).heading


def in_text(name: str) -> str:
    """The same inside a sentence."""
    word = words(name)
    return word if word.startswith("AP") else word[:1].lower() + word[1:]


def metric_names(ends: Sequence[Figures]) -> list[str]:
    """The metrics that all of these have a number for, the usual ones first."""
    usual = known_metrics()
    known = [*(name for name in usual if name in ends[0]), *(name for name in ends[0] if name not in usual)]
    return [name for name in known if all(end.get(name) is not None for end in ends)]


def score(value: float) -> str:
    """A metric."""
    return f"{value:.3f}"


def change(value: float) -> str:
    """A difference of metrics, with its sign; a small one is not called zero."""
    return f"{value:+.3f}" if abs(value) >= 0.0005 or value == 0 else f"{value:+.1g}"


def number(value: float) -> str:
    """A count of anything."""
    return f"{value:,.0f}"


def count(amount: int, word: str) -> str:
    """A number with its noun."""
    return f"{amount:,} {word}" + ("" if amount == 1 else "s")


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 0.95 else f"{max(seconds, 0.1):.1f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if minutes < 90 else f"{hours} h {rest:02d} min" if rest else f"{hours} h"
