"""How a new target, source, pose family, synthesizer or exporter is found: one file, no second edit.

A file registers its config class. Reading a folder imports the files that call `@register`, and these import
no torch at their top; what needs torch at the top (an `nn.Module`) stands in a file beside, imported by `build()`.
Learnt from torchgeo and pluggy; a failing import is raised with the file's name, never skipped.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from terse.errors import RecipeError, TerseError

__all__ = ["families", "kinds", "lookup", "nearest", "register"]

_Class = TypeVar("_Class", bound=type)

# family -> the packages that hold its members
_HOMES: dict[str, tuple[str, ...]] = {
    "target": ("terse.targets",),
    "synthesis": ("terse.synthesis",),
    "data": ("terse.sources",),
    "source": ("terse.sources",),
    "pose": ("terse.poses",),
    "hardness": ("terse.evaluation",),
    "export": ("terse.export",),
}
_ENTRY_POINTS = {"target": "terse.targets"}
_members: dict[str, dict[str, type]] = {family: {} for family in _HOMES}
_loaded: set[str] = set()


def families() -> tuple[str, ...]:
    """The registered families, in the order of the recipe."""
    return tuple(_HOMES)


def register(family: str, kind: str) -> Callable[[_Class], _Class]:
    """Make the decorated config class answer to `kind` in `family`.

    Raises:
        TerseError: another class owns the kind already; both owners are named.
    """

    def decorate(cls: _Class) -> _Class:
        owner = _members[family].get(kind)
        if owner is not None and _name(owner) != _name(cls):
            raise TerseError(f"{family} kind {kind!r}: expected one owner, got {_name(owner)} and {_name(cls)}")
        _members[family][kind] = cls
        return cls

    return decorate


def kinds(family: str) -> dict[str, type]:
    """Every kind of the family and its config class, sorted by kind."""
    _load(family)
    return dict(sorted(_members[family].items()))


def lookup(family: str, kind: str) -> type:
    """The config class of one kind.

    Raises:
        RecipeError: no such kind; the nearest one is named.
    """
    members = kinds(family)
    if kind not in members:
        raise RecipeError(f"expected one of {', '.join(members)}, got {kind!r}{nearest(kind, members)}")
    return members[kind]


def nearest(word: str, choices: Any) -> str:
    """`; did you mean 'x'?` where one of the choices is close, else the empty string."""
    close = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _load(family: str) -> None:
    if family in _loaded:
        return
    for home in _HOMES[family]:
        package = importlib.import_module(home)
        for module in pkgutil.iter_modules(package.__path__, prefix=f"{home}."):
            spec = importlib.util.find_spec(module.name)
            if spec and spec.origin and "@register(" in Path(spec.origin).read_text("utf-8"):
                importlib.import_module(module.name)
    if family in _ENTRY_POINTS:
        for point in entry_points(group=_ENTRY_POINTS[family]):
            try:
                point.load()
            except Exception as error:
                raise TerseError(f"entry point {point.value}: expected an importable module, got {error!r}") from error
    _loaded.add(family)


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
