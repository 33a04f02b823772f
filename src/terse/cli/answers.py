"""What a command prints: on stdout text for people or, with `--json`, one JSON value; on stderr an error's sentence."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import Annotated, Any

from cyclopts import Parameter

from terse.errors import RunError

__all__ = ["Json", "Yes", "answer", "by_flags", "printable", "unprinted"]

Json = Annotated[bool, Parameter(name="--json")]
"""The flag `--json` that every command has."""
Yes = Annotated[bool, Parameter(negative_bool="no-")]
"""Of a flag whose default is yes, so that `--no-FLAG` is offered."""

_ARGUMENTS = "out|resume|restart|workers|address|cycle|count"
_NAMED = re.compile(rf"^(?:{_ARGUMENTS})(?=:)|`(?:{_ARGUMENTS})`")


def answer(result: Any, text: str, *, as_json: bool) -> None:
    """Print the text or, where JSON was asked for, the result.

    Raises:
        RunError: stdout cannot be written.
        BrokenPipeError: its reader left.
    """
    try:
        print(_json(result) if as_json else printable(text))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(unprinted(error)) from None


def unprinted(error: OSError) -> str:
    """What to say where stdout cannot be written, as on a full disk."""
    return f"stdout: expected to print the answer, got: {error.strerror or error}"


def _json(result: Any) -> str:
    """Letters as they are where stdout has them, else by their numbers."""
    text = json.dumps(result, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return json.dumps(result)
    return text


def printable(text: str) -> str:
    """The text with its control characters written out: a name in a data set cannot steer the terminal."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs") else repr(c)[1:-1] for c in text)


def by_flags(message: str) -> str:
    """A sentence of the library's with the flags for the arguments that it begins with or has in backticks."""
    return _NAMED.sub(lambda found: "--" + found[0].strip("`"), message)
