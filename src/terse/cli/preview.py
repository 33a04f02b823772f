"""`terse preview`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["preview"]


def preview(
    recipe: str,
    *overrides: str,
    out: Path = Path("preview.png"),
    count: int = 40,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Draw a contact sheet of composites with boxes and masks, before any training.

    Args:
        recipe: A built-in recipe's name or a file.
        overrides: Settings as key=value.
        out: The PNG to write.
        count: How many composites.
        as_json: Print one JSON object.
    """
    from terse.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    from terse.report.preview import preview as draw

    path = draw(loaded, out, count)
    print(json.dumps({"out": str(path), "count": count}) if as_json else f"{count} composites: {path}")
