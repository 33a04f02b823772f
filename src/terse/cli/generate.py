"""`terse generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terse.cli.settings_flags import named_by_flags, settings_given, with_settings
from terse.generate.settings import GenerateSettings

if TYPE_CHECKING:
    from terse.generate import Origin
    from terse.progress import Observer
    from terse.recipe import Recipe

from terse.cli.answers import Json, answer
from terse.cli.jobs import with_trust

__all__ = ["generate"]


@with_trust
@with_settings(GenerateSettings)
def generate(
    source: str,
    *overrides: str,
    out: Path,
    workers: int | None = None,
    executor: str = "local",
    resume: bool = False,
    page: bool = True,
    as_json: Json = False,
    **flags: Any,
) -> int:
    """Write a data set of composites.

    Without training: terse generate paste foregrounds.coco=F foregrounds.images=D backgrounds.images=D --count 1000
    --out DIR; or foregrounds.cutouts=D, a folder with a sub-folder of cut-outs for each class.

    Args:
        source: A finished run's folder, a recipe file or a built-in recipe; paste needs no training.
        overrides: Settings of the recipe as key=value.
        out: A new or empty folder.
        workers: Processes; all cores by default. The set does not depend on it.
        executor: What maps the shards: local, or an executor of an installed package.
        resume: Go on with a set that was cut short.
        page: Write report.html, with a sample of the composites, beside the set.
        as_json: Print the result as one JSON object.
        flags: A flag for each field of `GenerateSettings`.
    """
    from terse.config import validate

    with named_by_flags(GenerateSettings, "workers", "resume"):
        settings = validate(GenerateSettings, settings_given(GenerateSettings, flags), None)
        from terse.cli.progress import counting
        from terse.generate import generate as make
        from terse.workers import usable_cores

        with counting() as observer:
            origin = _origin(source, overrides, observer)
            count = usable_cores() if workers is None else workers
            result = make(origin, settings, out, workers=count, executor=executor, resume=resume, observer=observer)
    drawn = _page(Path(result["out"]), result) if page else None
    answer(result, summary(result), as_json=as_json)
    if drawn is not None and not as_json:
        print(f"page     {drawn}")
    return 0


def _page(folder: Path, result: dict[str, Any]) -> Path | None:
    """The set's page; a set is whole without it."""
    from terse.errors import TerseError
    from terse.report.set_page import build_set_page

    try:
        return build_set_page(folder, result)
    except TerseError as error:
        print(f"no page: {error}", file=sys.stderr)
        return None


def summary(result: dict[str, Any]) -> str:
    """What a person wants to know."""
    classes = ", ".join(f"{name} {number:,}" for name, number in result["per_class"].items()) or "none"
    counts = f"{result['images']:,} images, {result['objects']:,} objects"
    lines = [f"{counts} {_pace(result)} -> {result['out']}", f"objects  {classes}"]
    if "real" in result:
        lines.append(f"real     {', '.join(f'{name} {number:,}' for name, number in result['real'].items())}")
    shown = result["skipped"][:10]
    more = len(result["skipped"]) - len(shown)
    return "\n".join([*lines, *(f"skipped  {item}" for item in shown), *([f"skipped  {more} more"] if more else [])])


def _pace(result: dict[str, Any]) -> str:
    """How long it took, and images a second with the digits that say something."""
    speed = result["images_per_second"]
    if not speed:
        return "were made before"
    return f"in {result['seconds']:.1f} s ({f'{speed:.0f}' if speed >= 10 else f'{speed:.1g}'} a second)"


def _origin(source: str, overrides: tuple[str, ...], observer: Observer) -> Origin | Recipe:
    from terse.errors import RecipeError
    from terse.recipe import load_recipe

    folder = Path(source)
    if not folder.is_dir():
        return load_recipe(source, overrides)
    if overrides:
        raise RecipeError(f"{overrides[0]}: expected no overrides beside a run, got some; its recipe is in recipe.yaml")
    from terse.generate import of_run

    return of_run(folder, observer)
