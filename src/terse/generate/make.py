"""`terse generate` and `terse render`: a request to a folder of shards, and the shards to a set."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from terse import registry
from terse.errors import DataError, RecipeError, TerseError
from terse.export.sample import Exporter
from terse.folders import locked
from terse.generate.draw import Drawing
from terse.generate.manifest import assemble_common, write_manifest
from terse.generate.place import Place, place_of
from terse.generate.plan import Shard, shards_of_rows, shards_of_scenes
from terse.generate.real import VAL, real_drawings, shards_of_real
from terse.generate.settings import GenerateSettings
from terse.generate.settling import Settling
from terse.generate.shard import PARTS, Job, made_folder, part_folder
from terse.generate.trained import Origin, of_recipe
from terse.placements_table import FORMAT, check_rows, missing_poses, read_table, sized
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
        return MadeSet(_make(job, place, shards, executor, observer), drawing)


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
        return _make(job, place, shards, mapped_by, observer)


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


@contextlib.contextmanager
def _cleared_where_nothing_began(place: Place) -> Iterator[None]:
    """Work that ends before the first file, as where no cluster answers, leaves the place as empty as it was."""
    try:
        yield
    except TerseError:
        if place.untouched():
            place.take_back()
        raise


def _check_format(job: Job) -> None:
    """Let the exporter refuse the set before anything is made, as `yolo_pose` does where there are no keypoints."""
    with TemporaryDirectory(dir=job.out / PARTS) as folder:
        job.exporter.shard(Path(folder), Path(folder), job.info("train"), 0).close(whole=False)


def _make(
    job: Job, place: Place, shards: Sequence[Shard], executor: Executor, observer: Observer | None
) -> dict[str, Any]:
    """Make what is missing, join the parts, and write the manifest."""
    began = time.monotonic()
    done = {shard.number: _done(job, place, shard) for shard in shards}
    fresh, images = 0, sum(tally["images"] for tally in done.values() if tally)
    total = job.count + sum(len(shard.rows) for shard in shards)
    barren: list[int] = []
    # Where a shard accepts nothing, no later one is begun; those under way are ended well.
    left = (shard for shard in shards if done[shard.number] is None and (shard.split or not barren))
    work = place.work(job, apart=getattr(executor, "apart", False))
    making = contextlib.closing(executor.map(work, left))
    with _cleared_where_nothing_began(place), Settling(place) as settling, making as results:
        for shard, made in results:
            tally = place.take(shard.number, made)
            settling.add(made_folder(job.out, shard.number), part_folder(job.out, shard.number))
            done[shard.number] = tally
            fresh, images = fresh + tally["images"], images + tally["images"]
            barren += [shard.number] if tally["refused"] and not tally["images"] else []
            heard_by(observer).advance("images", images, total)
    kept = [shard for shard in shards if shard.split or not barren or shard.number <= min(barren)]
    tallies = [known for shard in kept if not shard.split and (known := done[shard.number])]
    summary = _summary(job, tallies)
    if not summary["images"]:
        place.clear()  # it was empty when it became this set's
        raise DataError(_nothing(tallies[-1]))
    numbers = {shard.number for shard in kept}
    _discard(job, place, [shard for shard in shards if shard.number not in numbers])
    parts = [part_folder(job.out, shard.number) for shard in kept]
    for split in ("train", VAL) if VAL in job.real else ("train",):
        own = [part for part, shard in zip(parts, kept, strict=True) if (shard.split == VAL) == (split == VAL)]
        job.exporter.assemble(job.out / job.folder(split), own, job.info(split))
    subfolders = [job.folder(shard.split) + job.exporter.image_folder for shard in kept]
    assemble_common(job.out, parts, subfolders)
    limits = asdict(job.limits) if job.players is not None else None
    write_manifest(job.out, job.about, limits, job.drawing.material.describe(), summary)
    place.finish()
    seconds = time.monotonic() - began
    rate = fresh / seconds if seconds else 0.0
    return {
        "out": place.name,
        **summary,
        "seconds": round(seconds, 3),
        "images_per_second": round(rate, 1) or round(rate, 4),  # 0 says that nothing was made
    }


def _discard(job: Job, place: Place, shards: Sequence[Shard]) -> None:
    """Files of shards that are not part of the set after all."""
    if not shards:
        return
    by_image = bool(job.exporter.image_folder)
    first = shards[0].first_image if by_image else shards[0].number
    last = job.count if by_image else shards[-1].number + 1  # real images have later numbers
    place.discard(lambda path: path.parent != place.folder and path.stem.isdigit() and first <= int(path.stem) < last)


def _done(job: Job, place: Place, shard: Shard) -> dict[str, Any] | None:
    """The tally of a shard that was made before; None where it is not whole, or its images are gone since."""
    part = part_folder(job.out, shard.number)
    try:
        tally: dict[str, Any] = json.loads((part / "done.json").read_text("utf-8"))
        names = [line.split("  ", 1)[1] for line in (part / "SHA256SUMS").read_text("utf-8").splitlines()]
    except (OSError, ValueError, IndexError):
        return None
    files = job.exporter.holding(shard.number, names)
    return tally if all(place.has(job.folder(shard.split) + file) for file in files) else None


def _summary(job: Job, tallies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    per_class: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for tally in tallies:
        per_class.update(tally["per_class"])
        refused.update(tally["refused"])
    skipped = [f"{number} of {job.count} images: {reason}" for reason, number in sorted(refused.items())]
    hidden = sum(tally["hidden"] for tally in tallies)
    skipped += [f"{hidden} pasted objects: hidden wholly, they have no label"] if hidden else []
    of_real = (text for drawing in job.real.values() for text in drawing.material.backgrounds.skipped)
    return {
        "images": sum(tally["images"] for tally in tallies),
        "objects": sum(tally["objects"] for tally in tallies),
        "per_class": {name: per_class[name] for name in job.drawing.material.classes if per_class[name]},
        "skipped": list(dict.fromkeys([*skipped, *_of_keypoints(job), *job.drawing.material.skipped, *of_real])),
        **(
            {"real": {name: len(drawing.material.backgrounds) for name, drawing in job.real.items()}}
            if job.real
            else {}
        ),
    }


def _of_keypoints(job: Job) -> list[str]:
    """What the set does not say of its objects' keypoints."""
    skeleton, unlike = job.skeleton()
    if skeleton is not None and job.drawing.material.foregrounds.skeleton is None:
        return ["keypoints of pasted objects: the foregrounds' source has none, only other objects have them"]
    return [unlike] if unlike else []


def _nothing(tally: dict[str, Any]) -> str:
    """Why there is not one image."""
    reason = next(iter(tally["refused"]))
    if tally["hardness"] is None:
        return f"limits: expected placements that meet them, got {reason}; loosen the limit or the poses' ranges"
    least, median, most = tally["hardness"]
    return (
        f"hardness: expected composites inside the window, got {reason}; those that were looked at have "
        f"{least:.3f} to {most:.3f}, half of them below {median:.3f}"
    )
