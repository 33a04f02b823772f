"""How a new target, task, pose family, source, exporter, executor or synthesizer is found: one file, no second edit.

A file registers its config class with `@register(family, kind)`. Looking a family up imports the files of terse that
register something, then the modules that installed packages name in the entry-point group `terse.<family>`. None of
them imports torch at its top: what needs torch there (an `nn.Module`) stands in a file beside, imported by `build()`.
A failing import is raised with the file's name, never skipped.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from terse.errors import RecipeError, TerseError

__all__ = ["families", "kinds", "lookup", "nearest", "register"]

_Class = TypeVar("_Class", bound=type)

# family -> the package, or the module, that holds terse's own members
_HOMES = {
    "target": "terse.targets",
    "task": "terse.tasks",
    "synthesis": "terse.synthesis",
    "data": "terse.sources",
    "source": "terse.sources",
    "pose": "terse.poses",
    "hardness": "terse.evaluation",
    "exporter": "terse.export",
    "executor": "terse.workers",
}
_members: dict[str, dict[str, type[Any]]] = {family: {} for family in _HOMES}
_loaded: set[str] = set()


def families() -> tuple[str, ...]:
    """The families; the entry-point group of each is `terse.<family>`."""
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


def kinds(family: str) -> dict[str, type[Any]]:
    """Every kind of the family and its config class, sorted by kind."""
    _load(family)
    return dict(sorted(_members[family].items()))


def lookup(family: str, kind: str) -> type[Any]:
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
    for module in _own_modules(_HOMES[family]):
        importlib.import_module(module)
    for point in sorted(_entry_points().select(group=f"terse.{family}"), key=lambda point: (point.name, point.value)):
        try:
            point.load()
        except TerseError:  # a kind with two owners: the sentence names both
            raise
        except Exception as error:
            raise TerseError(
                f"entry point {point.name} of terse.{family}: expected a module that can be imported, "
                f"got {error!r} from {_file(point.module)}"
            ) from error
    _loaded.add(family)


@cache
def _entry_points() -> Any:  # `EntryPoints`, which Python 3.11 wraps
    """Of all installed packages, whose files are read once: 10 ms for a hundred of them."""
    return entry_points()


def _own_modules(home: str) -> Iterator[str]:
    """The modules below a package of terse, or a module itself, that register something."""
    spec = importlib.util.find_spec(home)
    if spec is None or spec.origin is None:
        return
    root = Path(spec.origin)
    for path in sorted(root.parent.rglob("*.py")) if spec.submodule_search_locations else [root]:
        if "@register(" in path.read_text("utf-8"):
            inner = path.relative_to(root.parent).with_suffix("").parts if spec.submodule_search_locations else ()
            yield ".".join((home, *inner))


def _file(module: str) -> str:
    """The file of a module, or its name where no file is found."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    return (spec.origin if spec is not None else None) or module


def _name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
