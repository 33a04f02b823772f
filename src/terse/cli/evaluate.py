"""`terse evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

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
    width = max(map(len, figures))
    print("\n".join(f"{name:<{width}}  {value:.4f}" for name, value in figures.items()))
