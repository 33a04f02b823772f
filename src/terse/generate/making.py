"""`terse generate` and `terse render`: a request to a folder of shards, and the shards to a set."""

import contextlib
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from terse import registry
from terse.config import validate
from terse.errors import DataError, RecipeError
from terse.export.sample import SetInfo
from terse.generate.manifest import assemble_common, claim_set, write_manifest
from terse.generate.scene import Scene
from terse.generate.settings import GenerateSettings
from terse.generate.shard import PARTS, Job, Shard, part_folder, start_worker
from terse.generate.slots import plan_slots
from terse.generate.trained import LoadTrained
from terse.placements_table import FORMAT, missing_poses, read_table, rows_of, sized
from terse.poses import build_poses
from terse.progress import Observer
from terse.recipe import Recipe, load_recipe
from terse.sources.material import Material
from terse.sources.run_data import paste_data
from terse.workers import Executor

__all__ = ["generate", "material_of", "render"]


def generate(
    recipe: Recipe,
    settings: GenerateSettings,
    out: Path,
    *,
    workers: int = 1,
    executor: str = "local",
    resume: bool = False,
    trained: LoadTrained | None = None,
    material: Material | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Make a data set of composites; the object that `--json` prints.

    Args:
        recipe: foregrounds, backgrounds, poses, edges, classes.
        settings: what the set is to hold.
        out: a new or empty folder.
        workers: processes; the set does not depend on it. 0 works in this process.
        executor: the kind of executor that maps the shards.
        resume: go on with a set that was cut short.
        trained: lends a synthesizer's poses and a target's verdict; None draws poses uniformly.
        material: the run's own, under the numbers that `trained` knows; None takes the recipe's.
        observer: watches; told of the images done.

    Raises:
        TerseError: a recipe, source, folder or limit that cannot be used; the message says which and why.
    """
    _check_workers(workers)
    if settings.hardness is not None and trained is None:
        raise RecipeError(
            "--hardness: expected a trained run, whose target says what is hard, got a recipe; give a run"
        )
    if material is not None:  # a run's classes need not be all that its backgrounds know
        recipe = recipe.model_copy(update={"classes": tuple(material.classes)})
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "square": material is not None and material.square,
        "trained": trained is not None,
        "format": FORMAT,
    }
    whole = claim_set(out, about, resume=resume)
    if whole is not None:
        return {
            "out": str(out),
            **whole["summary"],
            "seconds": 0.0,
            "images_per_second": 0.0,
        }
    with _cleared_on_mistake(out, resume=resume):
        scene = scene_of(recipe, settings, material_of(recipe) if material is None else material)
        shards = _scene_shards(scene)
    job = Job(scene, _exporter(settings), out, settings.count, about, trained)
    return _make(job, shards, _executor(executor, workers, shards), about, settings.count, observer)


def render(
    placements: Path,
    out: Path,
    *,
    workers: int = 1,
    executor: str = "local",
    resume: bool = False,
    observer: Observer | None = None,
    **changes: Any,
) -> dict[str, Any]:
    """Draw placements again, edited or not; the object that `--json` prints.

    Args:
        placements: the Parquet file that `generate` wrote, an edited copy of it, or a shard of a run's pool.
        out: a new or empty folder.
        workers: processes.
        executor: the kind of executor that maps the shards.
        resume: go on with a set that was cut short.
        observer: watches; told of the images done.
        changes: settings to replace: format, side_px, image, quality, masks, min_visible.

    Raises:
        TerseError: placements or sources that cannot be used; the message says which and why.
    """
    _check_workers(workers)
    table, made = read_table(placements)
    if not len(table):
        raise DataError(f"{placements}: expected a row for each paste, got none; keep the rows that are to be drawn")
    numbers = np.unique(table.column("image").to_numpy())
    settings = validate(GenerateSettings, {**made.get("settings", {"count": len(numbers)}), **changes}, None)
    recipe = Recipe.model_validate(made["recipe"]) if "recipe" in made else _recipe_of_run(Path(made["run"]))
    square = made.get("square", True)
    if "run" in made:
        table = sized(table, recipe.canvas_px)
    about = {
        **made,
        "recipe": recipe.model_dump(mode="json"),
        "settings": settings.model_dump(mode="json"),
        "square": square,
        "placements": placements.name,
        "format": FORMAT,
    }
    whole = claim_set(out, about, resume=resume)
    if whole is not None:
        return {
            "out": str(out),
            **whole["summary"],
            "seconds": 0.0,
            "images_per_second": 0.0,
        }
    with _cleared_on_mistake(out, resume=resume):
        scene = scene_of(recipe, settings, material_of(recipe, square=square, everything=True))
        missing = missing_poses(table, scene.poses)
        if missing:
            raise DataError(f"{placements}: expected the pose's columns, got none named {', '.join(missing)}")
    exporter = _exporter(settings)
    size = settings.shard_images or exporter.shard_images
    groups = [numbers[first : first + size] for first in range(0, len(numbers), size)]
    shards = [Shard(k, table=rows_of(table, group), first_image=int(group[0])) for k, group in enumerate(groups)]
    job = Job(scene, exporter, out, len(numbers), about, where=placements.name)
    return _make(job, shards, _executor(executor, workers, shards), about, len(numbers), observer)


def _recipe_of_run(folder: Path) -> Recipe:
    """Of a run whose pool's shards do not say themselves what they were made from, with the run's classes."""
    recipe = load_recipe(folder / "recipe.yaml")
    if recipe.classes is None and recipe.foregrounds is not None:
        recipe = recipe.model_copy(update={"classes": tuple(recipe.foregrounds.build().classes)})
    return recipe


def _check_workers(workers: int) -> None:
    if workers < 0:
        raise RecipeError(f"workers: expected an integer >= 0, got {workers}; 0 works in the process that was begun")


def scene_of(recipe: Recipe, settings: GenerateSettings, material: Material) -> Scene:
    """The material with the recipe's poses, ready to be sent to workers."""
    for name in settings.distractor_classes:
        if name not in material.classes:
            near = registry.nearest(name, material.classes)
            raise DataError(f"distractor_classes: expected classes of the foregrounds, got {name!r}{near}")
    return Scene(material, build_poses(recipe.poses), recipe.edges, settings)


def material_of(recipe: Recipe, *, square: bool = False, everything: bool = False) -> Material:
    """The foregrounds and backgrounds of `paste_data`, at their own size.

    Raises:
        RecipeError: the recipe names none.
        DataError: they cannot be read.
    """
    data = paste_data(recipe, everything=everything)
    classes = tuple(recipe.classes or data.classes)
    return Material(data.foregrounds, data.backgrounds, classes, square=square)


def _exporter(settings: GenerateSettings) -> Any:
    config = registry.lookup("exporter", settings.format)
    return config().build()


def _scene_shards(scene: Scene) -> list[Shard]:
    settings, material = scene.settings, scene.material
    per_scene = len(settings.blends) if settings.all_blends else 1
    scenes = -(-settings.count // per_scene)
    counts = np.bincount(material.foregrounds.labels, minlength=len(material.classes))
    slots = plan_slots(settings, scenes, material.classes, counts)
    size = max(1, (settings.shard_images or _exporter(settings).shard_images) // per_scene)
    return [
        Shard(
            number,
            first,
            tuple(slots.of(first, min(first + size, scenes))),
            first_image=first * per_scene,
        )
        for number, first in enumerate(range(0, scenes, size))
    ]


@contextlib.contextmanager
def _cleared_on_mistake(out: Path, *, resume: bool) -> Iterator[None]:
    """A request that cannot be met leaves the folder as empty as it was."""
    try:
        yield
    except Exception:
        if not resume:
            shutil.rmtree(out / PARTS, ignore_errors=True)
        raise


def _executor(kind: str, workers: int, shards: Sequence[Shard]) -> Executor:
    built: Executor = registry.lookup("executor", kind)().build(min(workers, len(shards)))
    return built


def _make(
    job: Job,
    shards: Sequence[Shard],
    executor: Executor,
    about: dict[str, Any],
    count: int,
    observer: Observer | None,
) -> dict[str, Any]:
    began = time.monotonic()
    done = {shard.number: _done(job.out, shard.number) for shard in shards}
    fresh, images = 0, sum(tally["images"] for tally in done.values() if tally)
    barren: list[int] = []
    # Where a shard accepts nothing, no later one is begun; those under way are ended well.
    left = (shard for shard in shards if done[shard.number] is None and not barren)
    with contextlib.closing(executor.map(partial(start_worker, job), left)) as making:
        for shard, tally in making:
            done[shard.number] = tally
            fresh, images = fresh + tally["images"], images + tally["images"]
            barren += [shard.number] if tally["refused"] and not tally["images"] else []
            (observer or Observer()).advance("images", images, count)
    kept = [shard.number for shard in shards if not barren or shard.number <= min(barren)]
    tallies = [made for number in kept if (made := done[number])]
    summary = _summary(job, tallies, count)
    if not summary["images"]:
        for path in job.out.iterdir():  # the folder was empty when it became this set's
            shutil.rmtree(path)
        raise DataError(_nothing(tallies[-1]))
    _discard(job, [shard for shard in shards if shard.number > kept[-1]])
    parts = [part_folder(job.out, number) for number in kept]
    settings = job.scene.settings
    job.exporter.assemble(
        job.out,
        parts,
        SetInfo(job.scene.material.classes, settings.suffix, settings.masks),
    )
    assemble_common(job.out, parts, job.exporter.image_folder)
    write_manifest(job.out, about, job.scene.material.describe(), summary)
    shutil.rmtree(job.out / PARTS)
    seconds = time.monotonic() - began
    rate = fresh / seconds if seconds else 0.0
    return {
        "out": str(job.out),
        **summary,
        "seconds": round(seconds, 3),
        "images_per_second": round(rate, 1),
    }


def _discard(job: Job, shards: Sequence[Shard]) -> None:
    """Files of shards that are not part of the set after all."""
    if not shards:
        return
    first = shards[0].first_image if job.exporter.image_folder else shards[0].number
    for folder in job.out.iterdir():
        if folder.is_dir() and folder.name != PARTS:
            for path in [path for path in folder.rglob("*") if path.is_file() and path.stem.isdigit()]:
                if int(path.stem) >= first:
                    path.unlink()


def _done(out: Path, number: int) -> dict[str, Any] | None:
    file = part_folder(out, number) / "done.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def _summary(job: Job, tallies: Sequence[dict[str, Any]], count: int) -> dict[str, Any]:
    per_class: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    for tally in tallies:
        per_class.update(tally["per_class"])
        refused.update(tally["refused"])
    skipped = [f"{number} of {count} images: {reason}" for reason, number in sorted(refused.items())]
    hidden = sum(tally["hidden"] for tally in tallies)
    skipped += [f"{hidden} pasted objects: hidden wholly, they have no label"] if hidden else []
    return {
        "images": sum(tally["images"] for tally in tallies),
        "objects": sum(tally["objects"] for tally in tallies),
        "per_class": {name: per_class[name] for name in job.scene.material.classes if per_class[name]},
        "skipped": [*skipped, *job.scene.material.skipped],
    }


def _nothing(tally: dict[str, Any]) -> str:
    """Why there is not one image."""
    reason = next(iter(tally["refused"]))
    if tally["hardness"] is None:
        return f"limits: expected placements that meet them, got {reason}; loosen the limit or the poses' ranges"
    least, median, most = tally["hardness"]
    return (
        f"--hardness: expected composites inside the window, got {reason}; those that were looked at have "
        f"{least:.3f} to {most:.3f}, half of them below {median:.3f}"
    )
