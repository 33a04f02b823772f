"""`terse preview`."""

from __future__ import annotations

from pathlib import Path

from terse.cli.answers import Json, answer
from terse.cli.jobs import with_trust
from terse.cli.progress import counting

__all__ = ["preview"]


@with_trust
def preview(
    recipe: str,
    *overrides: str,
    out: Path = Path("preview.png"),
    count: int = 40,
    as_json: Json = False,
) -> None:
    """Draw a contact sheet of composites with boxes and masks, some of them plain as well, before any training.

    Args:
        recipe: A built-in recipe's name or a file.
        overrides: Settings as key=value.
        out: The PNG to write.
        count: How many composites.
        as_json: Print one JSON object.
    """
    from terse.errors import RunError
    from terse.recipe import load_recipe

    if out.suffix.lower() != ".png":
        raise RunError(f"--out: expected a .png file, got {out}")
    loaded = load_recipe(recipe, overrides)
    from terse.report.preview import preview as draw

    with counting() as observer:
        path = draw(loaded, out, count, observer)
    answer({"out": str(path), "count": count}, f"{count} composites: {path}", as_json=as_json)
