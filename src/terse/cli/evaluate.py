"""`terse evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["evaluate"]


def evaluate(
    recipe: str,
    *overrides: str,
    checkpoint: Path,
    device: str | None = None,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Measure a model on a recipe's test images.

    Args:
        recipe: A built-in recipe's name or a file.
        overrides: Settings as key=value.
        checkpoint: The model's weights: a run's target.pth, or your own state_dict.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print one JSON object.
    """
    from terse.recipe import load_recipe

    loaded = load_recipe(recipe, [*overrides, *([f"runtime.device={device}"] if device else [])])
    from terse.run import evaluate as measure

    figures = measure(loaded, checkpoint)
    if as_json:
        print(json.dumps({"recipe": loaded.name, "checkpoint": str(checkpoint), "metrics": figures}))
        return
    from terse.tasks.task import task

    print(_table(figures, task(loaded.task).primary.name))


def _table(figures: Mapping[str, Any], primary: str) -> str:
    """A line a figure; those by group (size, class) stand below, each group's with the metric that counts."""
    lines = [(name, value) for name, value in figures.items() if not isinstance(value, Mapping)]
    for group in (value for value in figures.values() if isinstance(value, Mapping)):
        lines += [(f"{primary} {name}", one[primary]) for name, one in group.items()]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in lines)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
