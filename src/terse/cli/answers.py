"""What a command prints on stdout: text for people or, with `--json`, one JSON value."""

from __future__ import annotations

import json
import unicodedata
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["Json", "answer", "printable"]

Json = Annotated[bool, Parameter(name="--json")]
"""The flag `--json` that every command has."""


def answer(result: Any, text: str, *, as_json: bool) -> None:
    """Print the text or, where JSON was asked for, the result."""
    print(json.dumps(result, ensure_ascii=False) if as_json else printable(text))


def printable(text: str) -> str:
    """The text with its control characters written out: a name in a data set cannot steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else repr(c)[1:-1] for c in text)
