"""`terse check`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["check"]

_EXAMPLES = 3


def check(
    source: str,
    *overrides: str,
    images: Path | None = None,
    checkpoint: Path | None = None,
    out: Path | None = None,
    sample: int = 2000,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Look for what stands in a run's way; write a page, and a list of what to leave out.

    Args:
        source: A recipe, or data: a COCO file, a YOLO data.yaml, a folder of VOC, cut-outs or images.
        overrides: Settings of the recipe as key=value.
        images: The photographs of a COCO file; looked for beside it by default.
        checkpoint: A trained model's weights, to search the backgrounds for objects without a label.
        out: Folder for page and lists; checks/NAME by default.
        sample: Look at so many images of each part, and five times so many masks, evenly spread; 0 is all.
        as_json: Print one JSON object.
    """
    from terse.errors import RecipeError
    from terse.preflight.guess import is_recipe, source_settings

    if sample < 0:
        raise RecipeError(f"--sample: expected an integer >= 0, got {sample}; 0 looks at everything")
    if is_recipe(source):
        if images is not None:
            raise RecipeError("--images: expected it beside a COCO file, got it beside a recipe; write it there")
        from terse.recipe import load_recipe

        recipe = load_recipe(source, overrides)
        from terse.preflight.check import check_recipe

        with _watching() as watch:
            checked = check_recipe(recipe, source, checkpoint=checkpoint, sample=sample, watch=watch)
        name = recipe.name
    else:
        if overrides or checkpoint is not None:
            raise RecipeError(f"{overrides[0] if overrides else '--checkpoint'}: expected it beside a recipe, got data")
        settings = source_settings(Path(source), images)
        from terse.preflight.check import check_data

        with _watching() as watch:
            checked = check_data(settings, source, sample=sample, watch=watch)
        name = Path(source).resolve().stem
    from terse.preflight.output import write

    result = write(checked, out if out is not None else Path("checks") / name)
    print(json.dumps(result, ensure_ascii=False) if as_json else _summary(result))
    return 0 if checked.ready else 2


def _summary(result: dict[str, Any]) -> str:
    lines = []
    for weight in ("error", "warning", "note"):
        for one in result["findings"]:
            if one["weight"] == weight:
                amount = f" ({one['count']:,})" if one["count"] else ""
                lines.append(f"{weight:<8} {one['name']}{amount}, {one['where']}: {one['advice']}")
                lines += [f"         - {example}" for example in one["examples"][:_EXAMPLES]]
    warnings = any(one["weight"] == "warning" for one in result["findings"])
    verdict = "not ready" if not result["ready"] else "ready, with things to look at" if warnings else "ready"
    for name, counts in result["parts"].items():
        lines.append(
            f"{name:<12} {counts['images']:,} images, {counts['objects']:,} objects, {counts['masks']:,} masks"
        )
    for part, path in result["leave_out"].items():
        taker = "leave_out of a recipe's foregrounds" if part == "data" else f"{part}.leave_out"
        lines.append(f"leave out    {path}: for {taker}")
    return "\n".join([*lines, f"page         {result['page']}", f"{result['subject']}: {verdict}"])


@contextmanager
def _watching() -> Iterator[Any]:
    """A bar at a terminal; elsewhere only the lines that stay."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)


class _Lines:
    """Sentences on stderr."""

    def say(self, message: str) -> None:
        """A line that stays."""
        print(message, file=sys.stderr, flush=True)

    def step(self, what: str, done: int, total: int) -> None:
        """Nothing between lines."""


class _Bar:
    """The same with a bar for each look."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def say(self, message: str) -> None:
        """A line above the bar."""
        self._progress.console.print(message, highlight=False, markup=False)

    def step(self, what: str, done: int, total: int) -> None:
        """Move the bar."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)
