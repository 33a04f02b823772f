"""What the commands need that pages and messages print: `--trust` where a recipe names code or URLs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from terse.errors import TerseError
from terse.urls import url_of
from terse.yaml_text import read_yaml_file

__all__ = ["computing", "trust_flag"]

_PROSE = ("name", "description")


def trust_flag(settings: Mapping[str, Any], *, builds_target: bool = True) -> list[str]:
    """The flag, where a command needs it that reads the recipe's sources and, by default, builds its target.

    URLs that were typed as overrides stand in a run's recipe, and are asked for from there with the flag alone.
    """
    target = settings.get("target") if builds_target else None
    is_code = isinstance(target, Mapping) and target.get("kind") == "user"
    named = (value for key, value in settings.items() if key not in _PROSE)
    return ["--trust"] if is_code or any(url_of(text) is not None for value in named for text in _texts(value)) else []


def computing(folder: Path) -> str:
    """The command that makes the `page/` of a run or a proof."""
    try:
        settings = read_yaml_file(folder / "recipe.yaml")
    except TerseError:  # the command will say so
        settings = {}
    return shlex.join(["terse", "report", str(folder), "--compute", *trust_flag(settings)])


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
