"""The folder of a run: whose it is, what a finished one holds, and how it is begun anew."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.folders import claim, holds_nothing, write_atomically
from terse.pool_shards import shards_in
from terse.recipe import NOT_COMPARED, Recipe, begun_with, dump_recipe

__all__ = ["claim_run", "clear", "digested", "finished_folder", "require_clearable"]

_WRITTEN = (
    "recipe.yaml",
    "state",
    "pool",
    "page",
    "metrics.jsonl",
    "tensorboard",
    "cycles",
    "start.pth",
    "target.pth",
    "labels.json",
    "result.json",
    "report.html",
    "set-1",  # of a target that only judges
)


def finished_folder(folder: Path) -> Path:
    """The folder, seen to hold a finished run.

    Raises:
        RunError: it does not.
    """
    if not (folder / "recipe.yaml").is_file() or not (folder / "result.json").is_file():
        raise RunError(f"{folder}: expected a finished run with recipe.yaml and result.json, got none")
    return folder


def claim_run(folder: Path, recipe: Recipe, *, resume: bool) -> None:
    """Make the folder this run's, or see that it is already."""
    written = folder / "recipe.yaml"

    def begin() -> None:
        (folder / "state").mkdir(exist_ok=True)
        write_atomically(written, dump_recipe(recipe).encode())

    claim(
        folder,
        "run",
        recipe.model_dump(mode="json"),
        resume=resume,
        written=lambda: begun_with(written) if written.is_file() else None,
        begin=begin,
        ignored=NOT_COMPARED,
    )


def digested(folder: Path) -> list[str]:
    """The files of a finished run whose digests stand in its result."""
    shards = shards_in(folder / "pool").values()
    return [str(path.relative_to(folder)) for path in (folder / "target.pth", *shards) if path.is_file()]


def require_clearable(folder: Path, recipe: Recipe) -> None:
    """See that `clear` may empty a folder for a run of the recipe.

    Raises:
        RunError: the folder holds no run, so that nothing in it is known to be a run's; or other files as well; or the recipe
            reads what would go.
    """
    if not any(folder.iterdir()):
        return
    if not (folder / "recipe.yaml").is_file():
        raise RunError(
            f"{folder}: expected a folder with a run to begin anew, got one without recipe.yaml; give another"
        )
    others = sorted(path.name for path in folder.iterdir() if path.name not in _WRITTEN and not holds_nothing(path))
    if others:
        raise RunError(
            f"{folder}: expected a new or empty folder, got one with files in it that no run wrote, such as {others[0]}; "
            "move them, or give `out` another"
        )
    goes = [folder.resolve() / name for name in _WRITTEN]
    for setting, path in _paths(recipe.model_dump()):
        if any(path.resolve().is_relative_to(one) for one in goes):
            raise RunError(
                f"{setting}: expected a file that restart leaves, got {path} of the old run; copy it, or give `out` another"
            )


def clear(folder: Path, recipe: Recipe) -> None:
    """Remove what a run wrote, where there is nothing else and a new run of the recipe reads none of it.

    Raises:
        RunError: as `require_clearable`.
    """
    require_clearable(folder, recipe)
    for name in reversed(_WRITTEN):  # the recipe last
        path = folder / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _paths(value: Any, setting: str = "") -> Iterator[tuple[str, Path]]:
    """The paths in settings, each with the name of its setting."""
    if isinstance(value, Path):
        yield setting, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _paths(part, f"{setting}.{key}" if setting else str(key))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _paths(part, setting)
