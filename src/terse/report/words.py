"""How names and numbers of a result are written for readers."""

from __future__ import annotations

__all__ = ["count", "duration", "in_text", "number", "score", "words"]

WORDS = {
    "accuracy": "Accuracy",
    "ap": "AP, mean of IoU 0.5 to 0.8",
    "ap50": "AP at IoU 0.5",
    "ap60": "AP at IoU 0.6",
    "ap70": "AP at IoU 0.7",
    "ap80": "AP at IoU 0.8",
    "cut_paste_learn": "cut-paste-learn",
    "hard_rate": "Hard rate",
    "samples": "Samples",
    "target_forwards": "Target forwards",
    "target_backwards": "Target backwards",
    "synthesizer_forwards": "Synthesizer forwards",
    "discriminator_auc": "Discriminator AUC",
    "seconds": "Seconds",
}


def words(name: str) -> str:
    """A name of `result.json` as a heading."""
    return WORDS.get(name, name.replace("_", " "))


def in_text(name: str) -> str:
    """The same inside a sentence."""
    word = words(name)
    return word if word.startswith("AP") else word[:1].lower() + word[1:]


def score(value: float) -> str:
    """A metric."""
    return f"{value:.3f}"


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
