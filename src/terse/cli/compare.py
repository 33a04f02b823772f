"""`terse compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from terse.cli.answers import Json, answer

__all__ = ["compare"]

_COLUMNS = {
    "run": "", "arm": "", "seed": "", "metric": "", "start": ".4f", "end": ".4f", "gain": "+.4f", "kept cycle": "",
    "samples": ",", "hard rate": ".0%", "target passes": ",", "seconds": ".0f",
}  # fmt: skip
"""How the numbers of each column are written."""
_LEFT = ("run", "arm", "metric")


def compare(
    run: Path,
    *runs: Path,
    as_json: Json = False,
) -> None:
    """A table of runs; a proof's folder gives a row for each of its arms and seeds.

    Args:
        run: A run's or a proof's folder.
        runs: More of them.
        as_json: Print the rows as one JSON list.
    """
    rows = [row for folder in (run, *runs) for row in _rows(folder)]
    answer(rows, _table(rows), as_json=as_json)


def _rows(folder: Path) -> list[dict[str, Any]]:
    """One row, or one an arm and seed.

    Raises:
        RunError: the folder holds neither a finished run nor a proof.
    """
    from terse.errors import RunError

    is_proof = (folder / "arms").is_dir()
    seeds = {path: path.name.removeprefix("seed-") for path in folder.glob("arms/*/seed-*")}  # `seed-0.old` is none
    runs = sorted((path.parent.name, int(seed), path) for path, seed in seeds.items() if seed.isdecimal())
    parts = [path for _, _, path in runs] if is_proof else [folder]
    rows = [_row(part, part.parent.name if is_proof else None) for part in parts if (part / "result.json").is_file()]
    if not rows:
        raise RunError(f"{folder}: expected a finished run or a proof, got no result.json; is the run still going on?")
    return rows


def _row(folder: Path, arm: str | None) -> dict[str, Any]:
    """The row of a run; `arm` is its name in a proof."""
    from terse.errors import RunError, TerseError
    from terse.results import read_run, read_text
    from terse.tasks.task import metric_of
    from terse.yaml_text import read_yaml

    try:
        result, written = read_run(folder), folder / "recipe.yaml"
        recipe = read_yaml(read_text(written), str(written))
        kind = recipe["synthesis"]["kind"]
    except (TerseError, KeyError, TypeError) as error:
        raise RunError(f"{folder}: expected a finished run, got one that cannot be read ({error})") from None
    metric, cycles = result.primary, result.cycles
    start, end = (ends.figure(metric) for ends in (result.metrics.start, result.metrics.end))
    return {
        "run": str(folder),
        "arm": arm or kind,
        "seed": recipe.get("seed", 0),
        "metric": metric,
        "start": start,
        "end": end,
        "gain": None if start is None or end is None else metric_of(metric).gain(start, end),
        "kept_cycle": result.best_cycle,
        "samples": cycles[-1].samples if cycles else 0,
        "hard_rate": cycles[-1].hard_rate if cycles else None,
        "target_passes": sum((row.target_forwards or 0) + (row.target_backwards or 0) for row in cycles),
        "seconds": result.seconds,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = []
    for name, form in _COLUMNS.items():
        values = [row[name.replace(" ", "_")] for row in rows]
        cells = [name, *("-" if value is None else format(value, form) for value in values)]
        align, width = "<" if name in _LEFT else ">", max(map(len, cells))
        columns.append([f"{cell:{align}{width}}" for cell in cells])
    return "\n".join("  ".join(line).rstrip() for line in zip(*columns, strict=True))
