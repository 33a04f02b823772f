"""What a command prints on stdout: text for people or, with `--json`, one JSON value."""

from __future__ import annotations

import json
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["Json", "answer"]

Json = Annotated[bool, Parameter(name="--json")]
"""The flag `--json` that every command has."""


def answer(result: Any, text: str, *, as_json: bool) -> None:
    """Print the text or, where JSON was asked for, the result."""
    print(json.dumps(result, ensure_ascii=False) if as_json else text)
