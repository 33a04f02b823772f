"""`terse generate`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terse.cli.settings_flags import named_by_flags, settings_given, with_settings
from terse.generate.settings import GenerateSettings
from terse.process import arrow_without_pandas

if TYPE_CHECKING:
    from terse.generate import Origin
    from terse.generate.draw import Drawing
    from terse.progress import Observer
    from terse.recipe import Recipe

from terse.cli.answers import Json, Yes, answer, printable
from terse.cli.jobs import next_cycle, with_trust

__all__ = ["generate"]


@with_trust
@with_settings(GenerateSettings)
def generate(
    source: str,
    *overrides: str,
    out: Path,
    workers: int | None = None,
    executor: str = "local",
    address: str | None = None,
    resume: bool = False,
    page: Yes = True,
    target: str | None = None,
    cycle: int | None = None,
    as_json: Json = False,
    **flags: Any,
) -> int:
    """Write a data set of composites.

    Without training: terse generate paste foregrounds.coco=F foregrounds.images=D backgrounds.images=D --count 1000
    --out DIR; or foregrounds.cutouts=D, a folder with a sub-folder of cut-outs for each class.

    Args:
        source: A finished run's folder or its URL, a recipe file or a built-in recipe; paste needs no training.
        overrides: Settings of the recipe as key=value.
        out: A new or empty folder, or its URL: s3://BUCKET/FOLDER (extra s3), or another that fsspec knows.
        workers: Processes; all cores, or all of the cluster, by default. The set does not depend on it.
        executor: What maps the shards: local, ray (extra ray), or an executor of an installed package.
        address: Of the Ray cluster: HOST:PORT, auto (the one of this machine) or local.
        resume: Go on with a set that was cut short.
        page: Write report.html, with a sample of the composites, beside the set.
        target: Another model to say what is hard, instead of the run's: a file, or KEY=VALUE of the target's settings.
        cycle: The next cycle of a run whose target only judges, with the retrained model as --target: the model is
            measured, the cycle's composites are found, and the set is the whole pool.
        as_json: Print the result as one JSON object.
        flags: A flag for each field of `GenerateSettings`.
    """
    arrow_without_pandas()
    with named_by_flags(GenerateSettings):
        given = settings_given(GenerateSettings, flags)
        how = {"workers": workers, "executor": executor, "address": address, "resume": resume}
        if cycle is None:
            result, drawing = _of_source(source, overrides, target, given, out, how)
            goes_on = ""
        else:
            result, drawing = _of_cycle(source, overrides, target, cycle, given, out, how), None
            goes_on = _following(Path(source), cycle)
    drawn = _page(result, drawing) if page else None
    answer(result, summary(result, goes_on), as_json=as_json)
    if drawn is not None and not as_json:
        print(printable(f"page     {drawn}"))
    return 0


def _of_source(
    source: str, overrides: tuple[str, ...], target: str | None, given: dict[str, Any], out: Path, how: dict[str, Any]
) -> tuple[dict[str, Any], Drawing | None]:
    """A set of new composites, and what they were drawn with."""
    from terse.cli.progress import counting
    from terse.validation import validate

    settings = validate(GenerateSettings, given, None)
    from terse.generate.make import executor_of, make_set

    with counting() as observer:
        origin = _origin(source, overrides, target, observer)
        mapped_by = executor_of(how["executor"], how["workers"], how["address"])
        made = make_set(origin, settings, out, mapped_by, resume=how["resume"], observer=observer)
        return made.result, made.drawing


def _of_cycle(
    source: str,
    overrides: tuple[str, ...],
    target: str | None,
    cycle: int,
    given: dict[str, Any],
    out: Path,
    how: dict[str, Any],
) -> dict[str, Any]:
    """The pool of a run after one more cycle, as a set."""
    from terse.cli.progress import counting
    from terse.errors import RecipeError

    if target is None or overrides:
        got = "none" if target is None else f"{overrides[0]} as well"
        raise RecipeError(f"--target: expected the retrained model beside --cycle, and no other setting, got {got}")
    known = ("count", "format", "side_px", "image", "quality", "masks", "min_visible", "with_real")
    if other := next((name for name in given if name not in known), None):
        raise RecipeError(f"{other}: expected none beside --cycle, whose set is the run's pool, got {given[other]!r}")
    from terse.black_box import go_on
    from terse.generate import render
    from terse.generate.make import executor_of
    from terse.generate.place import place_of
    from terse.validation import validate

    validate(GenerateSettings, {"count": 1, **given}, None).require_form()  # before minutes of harvest
    executor_of(how["executor"], how["workers"], how["address"])
    if not how["resume"]:
        place_of(out).require_free()
    per_cycle = given.pop("count", None)
    with counting() as observer:
        measured = go_on(Path(source), cycle, target, per_cycle=per_cycle, observer=observer)
        result = render(Path(source) / "pool", out, **how, observer=observer, **given)
    rows = [measured.metrics.start, *measured.cycles]
    figures = [round(value, 5) for row in rows if (value := row.figure(measured.primary)) is not None]
    return {**result, "cycle": cycle, measured.primary: figures}


def _following(run: Path, cycle: int) -> str:
    from terse.recipe import load_recipe

    return next_cycle(run, cycle + 1, load_recipe(run / "recipe.yaml"))


def _page(result: dict[str, Any], drawing: Drawing | None) -> str | None:
    """Where the set's page is; a set is whole without it."""
    from terse.errors import TerseError
    from terse.report.set_page import build_set_page
    from terse.urls import url_of

    try:
        url = url_of(result["out"])
        return (
            str(build_set_page(Path(result["out"]), result, drawing)) if url is None else _page_at(url, result, drawing)
        )
    except (TerseError, OSError) as error:
        print(printable(f"no page: {error}"), file=sys.stderr)
        return None


def _page_at(url: str, result: dict[str, Any], drawing: Drawing | None) -> str:
    """The page of a set at a URL, sent there."""
    from tempfile import TemporaryDirectory

    from terse.report.set_page import build_set_page
    from terse.storage import Storage

    storage = Storage(url)
    with TemporaryDirectory() as folder:
        storage.fetch({name: Path(folder) / name for name in ("manifest.json", "placements.parquet")})
        storage.send({"report.html": build_set_page(Path(folder), result, drawing)})
    return f"{url}/report.html"


def summary(result: dict[str, Any], goes_on: str = "") -> str:
    """What a person wants to know; after a cycle with the line for the next one."""
    classes = ", ".join(f"{name} {number:,}" for name, number in result["per_class"].items()) or "none"
    counts = f"{result['images']:,} images, {result['objects']:,} objects"
    lines = [f"{counts} {_pace(result)} -> {result['out']}", f"objects  {classes}"]
    if "cycle" in result:
        name, figures = list(result.items())[-1]
        lines.append(f"{name:<8} {' -> '.join(f'{value:.3f}' for value in figures)}")
        lines.append(f"next     train on the set, then {goes_on}")
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
    rate = f"{speed:.0f}" if speed >= 1 else f"{speed:.1g}"
    return f"in {result['seconds']:.1f} s ({rate} a second{', real ones counted' if 'real' in result else ''})"


def _origin(source: str, overrides: tuple[str, ...], target: str | None, observer: Observer) -> Origin | Recipe:
    from terse.errors import RecipeError
    from terse.recipe import load_recipe
    from terse.urls import url_of

    if url_of(source) is None and not Path(source).is_dir():
        if target is not None:
            raise RecipeError("--target: expected it beside a run, got it beside a recipe; set target.weights=F there")
        return load_recipe(source, overrides)
    if overrides:
        raise RecipeError(f"{overrides[0]}: expected no overrides beside a run, got some; its recipe is in recipe.yaml")
    from terse.generate import of_run

    return of_run(source, observer, target=target)
