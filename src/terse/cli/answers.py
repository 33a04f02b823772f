"""What a command prints: on stdout text for people or, with `--json`, one JSON value; on stderr an error's sentence."""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["Json", "answer", "by_flags", "printable"]

Json = Annotated[bool, Parameter(name="--json")]
"""The flag `--json` that every command has."""

_ARGUMENTS = "out|resume|restart|workers|address|cycle|count"
_NAMED = re.compile(rf"^(?:{_ARGUMENTS})(?=:)|`(?:{_ARGUMENTS})`")


def answer(result: Any, text: str, *, as_json: bool) -> None:
    """Print the text or, where JSON was asked for, the result."""
    print(json.dumps(result, ensure_ascii=False) if as_json else printable(text))


def printable(text: str) -> str:
    """The text with its control characters written out: a name in a data set cannot steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else repr(c)[1:-1] for c in text)


def by_flags(message: str) -> str:
    """A sentence of the library's with the flags for the arguments that it begins with or has in backticks."""
    return _NAMED.sub(lambda found: "--" + found[0].strip("`"), message)
