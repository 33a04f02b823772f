"""`terse evaluate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terse.cli.answers import Json, answer
from terse.cli.jobs import with_device, with_trust

__all__ = ["evaluate"]


@with_trust
def evaluate(
    recipe: str,
    *overrides: str,
    checkpoint: Path,
    device: str | None = None,
    as_json: Json = False,
) -> None:
    """Measure a model on a recipe's test images, or its val images where it names none.

    Args:
        recipe: A built-in recipe's name or a file.
        overrides: Settings as key=value.
        checkpoint: The model's weights: a run's target.pth, or your own state_dict.
        device: cpu, cuda, cuda:1, mps.
        as_json: Print one JSON object.
    """
    from terse.recipe import load_recipe

    loaded = load_recipe(recipe, with_device(overrides, device))
    from terse.run import evaluate as measure
    from terse.tasks.task import task_of

    figures = measure(loaded, checkpoint)
    result = {"recipe": loaded.name, "checkpoint": str(checkpoint), "metrics": figures}
    answer(result, _table(figures, task_of(loaded).primary.name), as_json=as_json)


def _table(figures: Mapping[str, Any], primary: str) -> str:
    """A line a figure; those by group (size, class) stand below, each group's with the metric that counts."""
    lines = [(name, value) for name, value in figures.items() if not isinstance(value, Mapping)]
    for group in (value for value in figures.values() if isinstance(value, Mapping)):
        lines += [(f"{primary} {name}", one[primary]) for name, one in group.items() if primary in one]
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {_cell(value)}" for name, value in lines)


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"
