"""`terse compare`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["compare"]

_COLUMNS = (
    "run", "arm", "seed", "metric", "start", "end", "gain", "best cycle", "samples", "hard rate", "target passes",
    "seconds",
)  # fmt: skip


def compare(
    run: Path,
    *runs: Path,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """A table of runs; a proof's folder gives a row for each of its arms and seeds.

    Args:
        run: A run's or a proof's folder.
        runs: More of them.
        as_json: Print the rows as one JSON list.
    """
    rows = [row for folder in (run, *runs) for row in _rows(folder)]
    print(json.dumps(rows) if as_json else _table(rows))


def _rows(folder: Path) -> list[dict[str, Any]]:
    """One row, or one an arm and seed.

    Raises:
        RunError: the folder holds neither a finished run nor a proof.
    """
    from terse.errors import RunError

    is_proof = (folder / "arms").is_dir()
    parts = sorted(folder.glob("arms/*/seed-*")) if is_proof else [folder]
    rows = [_row(part, part.parent.name if is_proof else None) for part in parts if (part / "result.json").is_file()]
    if not rows:
        raise RunError(f"{folder}: expected a finished run or a proof, got no result.json; is the run still going on?")
    return rows


def _row(folder: Path, arm: str | None) -> dict[str, Any]:
    """The row of a run; `arm` is its name in a proof."""
    from terse.config import read_yaml
    from terse.errors import RunError, TerseError
    from terse.results import read_run, read_text
    from terse.tasks.task import metric_of

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
        "best_cycle": result.best_cycle,
        "samples": cycles[-1].samples if cycles else 0,
        "hard_rate": cycles[-1].hard_rate if cycles else None,
        "target_passes": sum((row.target_forwards or 0) + (row.target_backwards or 0) for row in cycles),
        "seconds": result.seconds,
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [_COLUMNS, *(tuple(_cell(key, row[key.replace(" ", "_")]) for key in _COLUMNS) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS))]
    left = ("run", "arm", "metric")
    lines = [
        "  ".join(
            text.ljust(width) if name in left else text.rjust(width)
            for text, width, name in zip(row, widths, _COLUMNS, strict=True)
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    forms = {"start": ".4f", "end": ".4f", "gain": "+.4f", "hard rate": ".0%", "samples": ",", "target passes": ","}
    forms["seconds"] = ".0f"
    return format(value, forms.get(key, ""))
