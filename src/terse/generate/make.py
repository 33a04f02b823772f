"""`terse generate` and `terse render`: from a request to the job that makes the set."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from terse import registry
from terse.errors import DataError, RecipeError
from terse.export.sample import Exporter
from terse.folders import locked, sha256_of
from terse.generate.draw import Drawing
from terse.generate.manifest import ROWS
from terse.generate.place import Place, place_of
from terse.generate.plan import shards_of_rows, shards_of_scenes
from terse.generate.real import real_drawings, shards_of_real
from terse.generate.run_job import run_job
from terse.generate.settings import GenerateSettings
from terse.generate.shard import PARTS, Job
from terse.generate.trained import Origin, of_recipe
from terse.placements_table import FORMAT, check_rows, missing_poses, read_table, sized
from terse.pool_shards import shards_in
from terse.poses import build_poses
from terse.process import torch_defaults
from terse.progress import Observer, heard_by
from terse.recipe import Recipe, load_recipe
from terse.sources.material import Material
from terse.sources.run_data import open_sources, paste_data
from terse.storage import local_copy
from terse.urls import local_path, url_of
from terse.validation import validate
from terse.workers import Executor, usable_cores

__all__ = ["MadeSet", "drawing_of", "generate", "made_with", "make_set", "render"]

_ANGLES = (
    "float64"  # how a set's placements are drawn; older ones, which do not say, keep the pixels that torch gave them
)


@dataclass(frozen=True, slots=True)
class MadeSet:
    """A set that was made, and what its images were drawn with; None where it was whole already."""

    result: dict[str, Any]
    drawing: Drawing | None = None


@torch_defaults()
def generate(
    origin: Origin | Recipe,
    settings: GenerateSettings,
    out: Path | str,
    *,
    workers: int | None = 1,
    executor: str = "local",
    address: str | None = None,
    resume: bool = False,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Make a data set of composites; the object that `--json` prints.

    Args:
        origin: a recipe, or a finished run (`of_run`): its arm proposes, its target says what is hard.
        settings: what the set is to hold.
        out: a new or empty folder, or a URL of one.
        workers: processes; the set does not depend on it. 0 works in this process, None takes what the executor has. A
            script that begins some calls this below `if __name__ == "__main__":`, for they import it.
        executor: the kind of executor that maps the shards.
        address: of its cluster, where it has one.
        resume: go on with a set that was cut short.
        observer: watches; told of the images done.

    Raises:
        TerseError: a recipe, source, folder or limit that cannot be used; the message says which and why.
    """
    mapped_by = executor_of(executor, workers, address)
    return make_set(origin, settings, out, mapped_by, resume=resume, observer=observer).result


def make_set(
    origin: Origin | Recipe,
    settings: GenerateSettings,
    out: Path | str,
    executor: Executor,
    *,
    resume: bool = False,
    observer: Observer | None = None,
) -> MadeSet:
    """As `generate`, with what a page needs to draw the set's images again without reading the sources again."""
    observer = heard_by(observer)
    if isinstance(origin, str | Path):
        raise RecipeError(f"origin: expected load_recipe(...) or of_run(...), got {str(origin)!r}")
    trained, recipe = (False, origin) if isinstance(origin, Recipe) else (origin.trained, origin.recipe)
    if settings.hardness is not None and not trained:
        raise RecipeError("hardness: expected a trained run, whose target says what is hard, got a recipe; give a run")
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "square": not isinstance(origin, Recipe) and origin.material.square,
        "trained": trained,
        "angles": _ANGLES,
        "format": FORMAT,
    }
    place = place_of(out)
    with locked(place.folder):
        whole = place.claim(about, resume=resume)
        if whole is not None:
            return MadeSet(_untouched(place, whole))
        with _cleared_on_mistake(place):
            source = of_recipe(origin, observer=observer) if isinstance(origin, Recipe) else origin
            limits = settings.limits(source.limits, source.material.foregrounds.classes)
            drawing = Drawing(source.material, build_poses(recipe.poses), recipe.edges, settings)
            exporter = _exporter(settings)
            size = settings.shard_images or exporter.shard_images
            shards = shards_of_scenes(settings, limits, source.material, size)
            real = real_drawings(recipe, drawing)
            shards += shards_of_real(real, len(shards), settings.count, size)
            job = Job(drawing, exporter, place.folder, settings.count, about, source.load, limits, real)
            _check_format(job)
        if source.message:
            observer.say(source.message)
        return MadeSet(run_job(job, place, shards, executor, observer), drawing)


@torch_defaults()
def render(
    placements: Path | str,
    out: Path | str,
    *,
    workers: int | None = 1,
    executor: str = "local",
    address: str | None = None,
    resume: bool = False,
    observer: Observer | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Draw placements again, edited or not; the object that `--json` prints.

    Args:
        placements: the Parquet file that `generate` wrote, an edited copy of it, or a shard of a run's pool; or its URL.
        out: a new or empty folder, or a URL of one.
        workers: processes; None takes what the executor has.
        executor: the kind of executor that maps the shards.
        address: of its cluster, where it has one.
        resume: go on with a set that was cut short.
        observer: watches; told of the images done.
        changes: settings to replace: format, side_px, image, quality, masks, min_visible.

    Raises:
        TerseError: placements or sources that cannot be used; the message says which and why.
    """
    if "count" in changes:
        raise RecipeError(f"count: expected none, got {changes['count']}; the rows of the placements say what is drawn")
    mapped_by, observer = executor_of(executor, workers, address), heard_by(observer)
    url = url_of(placements)
    placements = local_path(placements) if url is None else local_copy(url, observer)
    table, made = read_table(placements)
    if not len(table):
        raise DataError(f"{placements}: expected a row for each paste, got none; keep the rows that are to be drawn")
    count = len(np.unique(table.column("image").to_numpy()))
    settings, recipe, square = made_with(made, count, **changes)
    if "run" in made:
        table = sized(table, recipe.canvas_px)
    about = {
        **made,
        "recipe": recipe.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "square": square,
        "placements": placements.name,
        ROWS: _digest(placements),
        "angles": made.get("angles"),
        "format": FORMAT,
    }
    place = place_of(out)
    with locked(place.folder):
        whole = place.claim(about, resume=resume)
        if whole is not None:
            return _untouched(place, whole)
        with _cleared_on_mistake(place):
            drawing = replace(
                drawing_of(recipe, settings, square=square, observer=observer), in_torch=made.get("angles") != _ANGLES
            )
            missing = missing_poses(table, drawing.poses)
            if missing:
                raise DataError(f"{placements}: expected the pose's columns, got none named {', '.join(missing)}")
            check_rows(table, drawing.poses, placements.name)
            real = real_drawings(recipe, drawing)
            exporter = _exporter(settings)
            job = Job(drawing, exporter, place.folder, count, about, real=real, where=placements.name)
            _check_format(job)
        size = settings.shard_images or exporter.shard_images
        shards = shards_of_rows(table, size)
        last = max(table.column("image").to_pylist())
        shards += shards_of_real(real, len(shards), max(settings.count, last + 1), size)
        return run_job(job, place, shards, mapped_by, observer)


def drawing_of(
    recipe: Recipe, settings: GenerateSettings, *, square: bool, observer: Observer | None = None
) -> Drawing:
    """What placements are drawn with that were made before: nothing is held out, they name what they need.

    The observer hears how far copies of files at URLs are.

    Raises:
        RecipeError: the recipe names no sources.
        DataError: they cannot be read.
    """
    data = paste_data(recipe, everything=True, observer=observer)
    classes = tuple(recipe.classes or data.classes)
    material = Material(data.foregrounds, data.backgrounds, classes, square=square)
    return Drawing(material, build_poses(recipe.poses), recipe.edges, settings)


def made_with(about: Mapping[str, Any], count: int, **changes: Any) -> tuple[GenerateSettings, Recipe, bool]:
    """Settings, with these changes, and recipe of placements by what their file says; whether canvases are squashed.

    Raises:
        RecipeError: a key or a value that this version does not know.
    """
    settings = validate(GenerateSettings, {**about.get("settings", {"count": count}), **changes}, None)
    recipe = validate(Recipe, about["recipe"], None) if "recipe" in about else _recipe_of_run(Path(about["run"]))
    return settings, recipe, about.get("square", True)


def _digest(placements: Path) -> str:
    """Of the file, or of the shards of a pool: edited ones are another set."""
    files = [placements] if placements.is_file() else shards_in(placements).values()
    return hashlib.sha256("".join(map(sha256_of, files)).encode()).hexdigest()


def _recipe_of_run(folder: Path) -> Recipe:
    """Of a run whose pool's shards do not say themselves what they were made from, with the run's classes."""
    recipe = load_recipe(folder / "recipe.yaml")
    if recipe.classes is None and recipe.foregrounds is not None:
        recipe = recipe.model_copy(update={"classes": open_sources(recipe, "foregrounds")["foregrounds"].classes})
    return recipe


def executor_of(kind: str, workers: int | None, address: str | None = None) -> Executor:
    """The executor of a kind, with so many workers, or as many as it has.

    Raises:
        RecipeError: no such kind, or an address beside one without a cluster.
    """
    config = registry.lookup("executor", kind)
    if address is not None and "address" not in config.model_fields:
        raise RecipeError(f"address: expected it beside the executor ray, got it beside {kind}")
    if workers is None:
        workers = getattr(config, "default_workers", usable_cores)()
    if workers < 0:
        raise RecipeError(f"workers: expected an integer >= 0, got {workers}; 0 works in the process that was begun")
    built: Executor = config(**({} if address is None else {"address": address})).build(workers)
    return built


def _exporter(settings: GenerateSettings) -> Exporter:
    settings.require_form()
    exporter: Exporter = registry.lookup("exporter", settings.format)().build()
    return exporter


def _untouched(place: Place, manifest: dict[str, Any]) -> dict[str, Any]:
    """The result of a set that was whole already; its parts may be there still."""
    place.finish()
    return {"out": place.name, **manifest["summary"], "seconds": 0.0, "images_per_second": 0.0}


@contextlib.contextmanager
def _cleared_on_mistake(place: Place) -> Iterator[None]:
    """A request that cannot be met leaves the place as empty as it was."""
    try:
        yield
    except Exception:
        place.take_back()
        raise


def _check_format(job: Job) -> None:
    """Let the exporter refuse the set before anything is made, as `yolo_pose` does where there are no keypoints."""
    with TemporaryDirectory(dir=job.out / PARTS) as folder:
        job.exporter.shard(Path(folder), Path(folder), job.info("train"), 0).close(whole=False)
