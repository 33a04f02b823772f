"""How names and numbers of a result are written for readers."""

from __future__ import annotations

from collections.abc import Sequence

from terse.results import Figures
from terse.tasks.task import known_metrics, metric_of

__all__ = ["change", "count", "duration", "in_text", "metric_names", "number", "score", "words"]

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
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, rest = divmod(minutes, 60)
    return f"{minutes} min" if minutes < 90 else f"{hours} h {rest:02d} min" if rest else f"{hours} h"
