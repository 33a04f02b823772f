"""Runs beside each other: what their composites look like, and by which settings they differ (paper, Fig. 3)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.pictures.page_folder import read_page
from terse.pictures.pool import POOL_STRIP
from terse.pictures.sheets import Sheet
from terse.recipe import NOT_COMPARED
from terse.report.parts import Table, number, words
from terse.results import read_run
from terse.yaml_text import read_yaml_file

__all__ = ["beside_sheets", "beside_table", "differences", "named_runs"]

_NOT_SHOWN = ("name", *NOT_COMPARED)
_GROUP = "Beside other runs"


def beside_sheets(folders: Sequence[Path]) -> list[Sheet]:
    """A strip of each run's pool, headed by the settings in which the runs differ.

    With `synthesis.discriminator` true in one run and false in the other this is the paper's Fig. 3.

    Raises:
        RunError: a folder without a finished run.
    """
    sheets = []
    for name, folder in named_runs(folders):
        strips = [sheet for sheet in read_page(folder).sheets if (sheet.group, sheet.heading) == POOL_STRIP]
        sheets += [replace(strip, group=_GROUP, heading=name, alt=f"{name}: {strip.alt}") for strip in strips]
    return sheets


def named_runs(folders: Sequence[Path]) -> list[tuple[str, Path]]:
    """Each run's folder after its name and the settings in which the runs differ.

    Raises:
        RunError: a folder without a finished run.
    """
    headings = differences([_recipe(folder) for folder in folders])
    return [
        (f"{_name(folder)}: {heading}" if heading else _name(folder), folder)
        for folder, heading in zip(folders, headings, strict=True)
    ]


def beside_table(folders: Sequence[Path]) -> Table:
    """Start, end and cost of each run, a row a run.

    Raises:
        RunError: a folder without a finished run.
    """
    results = [read_run(_file(folder, "result.json").parent) for folder in folders]
    names = list(dict.fromkeys(result.primary for result in results))
    rows = []
    for folder, result, heading in zip(folders, results, differences([_recipe(f) for f in folders]), strict=True):
        ends = [
            f"{figure:.4f}" if name == result.primary and (figure := end.figure(name)) is not None else ""
            for name in names
            for end in (result.metrics.start, result.metrics.end)
        ]
        samples = result.cycles[-1].samples if result.cycles else 0
        rows.append((_name(folder), heading, *ends, number(samples), number(result.seconds)))
    metrics = [f"{words(name)}, {when}" for name in names for when in ("start", "end")]
    return Table(_GROUP, ("Run", "Setting", *metrics, "Samples", "Seconds"), rows)


def differences(recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each recipe, the settings that the recipes do not all share, as they are typed."""
    flat = [dict(_flat(recipe)) for recipe in recipes]
    keys = list(dict.fromkeys(key for one in flat for key in one))
    differ = [key for key in keys if len({json.dumps(one.get(key)) for one in flat}) > 1]
    return [", ".join(f"{key}={json.dumps(one[key])}" for key in differ if key in one) for one in flat]


def _flat(settings: Mapping[str, Any], above: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in settings.items():
        if not above and key in _NOT_SHOWN:
            continue
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{above}{key}.")
        else:
            pairs.append((f"{above}{key}", value))
    return pairs


def _name(folder: Path) -> str:
    """What the folder is called, also where it is typed as `.`."""
    return folder.resolve().name


def _recipe(folder: Path) -> Mapping[str, Any]:
    return read_yaml_file(_file(folder, "recipe.yaml"))


def _file(folder: Path, name: str) -> Path:
    if not (folder / name).is_file():
        raise RunError(f"{folder}: expected a finished run with {name}, got none; give the folder of a run")
    return folder / name
