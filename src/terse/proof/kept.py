"""Finished runs as small files that can be committed: a proof reads them again instead of running them.

A file holds an arm's settings, its result and what was measured: all that a verdict and its tables rest on. Paths
in it are cut to their last two parts, so that it says the same on every machine.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeGuard

from terse.errors import RunError
from terse.folders import write_atomically, write_json
from terse.proof.results import KeptRun, read_measured
from terse.recipe import NOT_COMPARED, Recipe, dump_recipe
from terse.results import FORMAT, read_record, read_run

__all__ = ["is_kept", "keep", "take_kept"]

_DIGITS = 5


def is_kept(file: Path | None, recipe: Recipe) -> TypeGuard[Path]:
    """Whether a file holds this run.

    Raises:
        RunError: it holds another one, or cannot be read.
    """
    if file is None or not file.is_file():
        return False
    other = next(_differences(_portable(recipe), _read(file).settings, _portable(recipe, exclude_defaults=True)), None)
    if other is not None:
        key, ours, theirs = other
        raise RunError(
            f"{file}: expected a run with {key} {json.dumps(ours)}, got {json.dumps(theirs)}; "
            "name another folder for kept runs, or delete the file to run it again"
        )
    return True


def keep(file: Path, recipe: Recipe, folder: Path) -> None:
    """Write the figures of the finished run in a folder."""
    result = read_run(folder).model_copy(update={"out": None})
    found = KeptRun(
        format=FORMAT,
        settings=_portable(recipe),
        environment={"python": platform.python_version(), "torch": version("torch"), "machine": platform.machine()},
        result=result,
        measured=read_measured(folder),
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, _rounded(found.to_json()), indent=None)


def take_kept(file: Path, recipe: Recipe, folder: Path) -> None:
    """Put the figures of a file where a run would have left them, without weights, pool and pictures."""
    if (folder / "measured.json").is_file():
        return
    found = _read(file)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "recipe.yaml", dump_recipe(recipe).encode())
    write_json(folder / "result.json", found.result.to_json())
    write_json(folder / "measured.json", found.measured.to_json(), indent=None)


def _read(file: Path) -> KeptRun:
    return read_record(file, KeptRun, "a kept run")


def _differences(ours: Any, theirs: Any, own: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Settings in which two runs differ; one that is younger than the file counts where it is `own`, not at its default."""
    if not (isinstance(ours, dict) and isinstance(theirs, dict)):
        if ours != theirs:
            yield where, ours, theirs
        return
    for key in {**ours, **theirs}:
        below = own.get(key) if isinstance(own, dict) else None
        if key in theirs or below is not None:
            yield from _differences(ours.get(key), theirs.get(key), below, f"{where}.{key}" if where else key)


def _portable(recipe: Recipe, *, exclude_defaults: bool = False) -> dict[str, Any]:
    """The settings that a run's figures depend on, as JSON."""
    settings = recipe.model_dump(mode="json", exclude_defaults=exclude_defaults)
    return {key: _without_folders(value) for key, value in settings.items() if key not in (*NOT_COMPARED, "name")}


def _without_folders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    is_path = isinstance(value, str) and Path(value).is_absolute()
    return "/".join(Path(value).parts[-2:]) if is_path else value


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
