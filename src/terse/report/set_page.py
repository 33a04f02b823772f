"""The page of a generated data set from its folder: some of its images drawn again from their placements."""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from terse import registry
from terse.errors import DataError
from terse.evaluation.coverage import coverage
from terse.evaluation.predictions import spread
from terse.export.sample import Labelled
from terse.generate.draw import Drawing, draw_images
from terse.generate.make import drawing_of, made_with
from terse.generate.manifest import read_manifest
from terse.generate.settings import GenerateSettings
from terse.pictures.again import trust_flag
from terse.pictures.crops import Crop
from terse.pictures.gallery import Gallery, GalleryItem
from terse.pictures.page_folder import Shown
from terse.placements import Placements
from terse.placements_table import describe, from_table, read_table, rows_of
from terse.recipe import Recipe, dump_recipe
from terse.report import figures
from terse.report.coverage import coverage_charts, coverage_table
from terse.report.figures import class_charts, size_charts
from terse.report.page import build_page
from terse.report.parts import Chart, Command, Fact, PageData, Table, count, duration, number
from terse.results import Coverage, SetResult
from terse.tasks.answers import Box
from terse.urls import url_of

__all__ = ["build_set_page", "dataset_page", "set_page"]

_SHOWN = 600  # at 320 px they fill a page; all of them are in memory once
_COUNTED = 5000
_SIDE_PX = 320
_Part = TypeVar("_Part", Chart, Table)


def build_set_page(folder: Path, result: Mapping[str, Any] | None = None, drawing: Drawing | None = None) -> Path:
    """Write `report.html` into a whole set's folder.

    Args:
        folder: of the set.
        result: the object of `terse generate --json`; without it the page says no time.
        drawing: what the set was drawn with; None reads its sources again.

    Raises:
        DataError: no set, or sources that are gone.
        RunError: it cannot be written.
    """
    return build_page(set_page(folder, result, drawing), folder / "report.html")


def set_page(folder: Path, result: Mapping[str, Any] | None = None, drawing: Drawing | None = None) -> PageData:
    """The page of a whole set; the arguments are those of `build_set_page`."""
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise DataError(f"{folder}: expected a whole set with manifest.json, got none; make it with `terse generate`")
    summary = read_manifest(manifest)["summary"]
    table, about = read_table(folder / "placements.parquet")
    numbers = np.unique(table.column("image").to_numpy())
    settings, recipe, square = made_with(about, len(numbers))
    drawing = drawing or drawing_of(recipe, settings, square=square)
    items = _items(drawing, _images(drawing, table, numbers[spread(len(numbers), _SHOWN)]))
    counted = _images(drawing, table, numbers[spread(len(numbers), _COUNTED)])
    seen = coverage(counted, drawing.poses, drawing.material.foregrounds.class_of)
    told = SetResult.model_validate({"out": str(folder), **summary, **(result or {})})
    return dataset_page(
        told,
        name=recipe.name,
        gallery=Gallery(items, _note(len(items), len(numbers), real=bool(told.real)), arm_word="Blend"),
        sizes=[_side(box, item) for item in items for box in item.boxes],
        visible=[one["visible"] for item in items for one in item.record["objects"]],
        drawn=_of_so_many(len(items), len(numbers)),
        coverage=seen,
        counted=_of_so_many(len(counted), len(numbers)),
        recipe_yaml=dump_recipe(recipe),
        commands=_commands(str((result or {}).get("out", folder)), settings, recipe),
    )


def _images(drawing: Drawing, table: pa.Table, numbers: np.ndarray) -> Placements:
    return from_table(rows_of(table, numbers), drawing.poses, drawing.material, "placements.parquet")


def _items(drawing: Drawing, placements: Placements) -> list[GalleryItem]:
    drawn = enumerate(draw_images(drawing, placements))
    return [_item(drawing, placements, image, canvas, objects) for image, (canvas, objects) in drawn]


def _item(
    drawing: Drawing, placements: Placements, image: int, canvas: np.ndarray, objects: Sequence[Labelled]
) -> GalleryItem:
    """One image, brought to the size of the page together with its boxes and masks."""
    width, height = placements.canvas_px(image)
    hardness = float(placements.hardness[image])
    crop = Crop.of((0, 0, width, height), _SIDE_PX)
    classes = drawing.material.classes
    masks = []
    for one in objects:
        if one.modal is None:
            continue
        whole = np.zeros((height, width), np.bool_)
        one.paint(whole, 1)
        masks.append(crop.mask(whole))
    pasted = [one for one in objects if one.pasted]
    return GalleryItem(
        image=np.ascontiguousarray(crop.picture(canvas)[:, :, ::-1]),
        class_name=classes[(pasted or objects)[0].label] if objects else "none",
        boxes=[Box(crop.box(one.box_px), classes[one.label]) for one in objects],
        masks=masks,
        hardness=None if math.isnan(hardness) else hardness,
        arm=placements.blend[image],
        record=_record(drawing, placements, image, objects),
    )


def _record(drawing: Drawing, placements: Placements, image: int, objects: Sequence[Labelled]) -> dict[str, Any]:
    return {
        "image": int(placements.number[image]),
        "size_px": list(placements.canvas_px(image)),
        **describe(placements, image, drawing.poses, drawing.material),
        "objects": [
            {
                "class": drawing.material.classes[one.label],
                "visible": round(one.visible_fraction, 3),
                "ignore": one.ignore,
            }
            for one in objects
        ],
    }


def _side(box: Box, item: GalleryItem) -> float:
    x0, y0, x1, y1 = box.xyxy_px
    assert isinstance(item.image, np.ndarray)
    return math.sqrt((x1 - x0) * (y1 - y0) / (item.image.shape[0] * item.image.shape[1]))


def _note(shown: int, total: int, *, real: bool) -> str:
    what = "composite" if real else "image"
    return f"Every {what} of the set." if shown == total else f"{shown:,} of {total:,} {what}s, evenly spread."


def _commands(out: str, settings: GenerateSettings, recipe: Recipe) -> list[Command]:
    place = out.rstrip("/")
    flags = trust_flag(recipe.model_dump(mode="json"), builds_target=False)
    again = shlex.join(("terse", "render", f"{place}/placements.parquet", "--out", f"{place}-again", *flags))
    sums = f"cd {shlex.quote(place)} && sha256sum --check SHA256SUMS"
    has_files = registry.lookup("exporter", settings.format)().build().image_folder  # not members of shards
    return [
        Command(again, "The same set once more, from its placements"),
        *([Command(sums, "Are the images whole?")] if has_files and url_of(out) is None else []),
    ]


def dataset_page(
    result: SetResult,
    *,
    name: str = "",
    gallery: Gallery | None = None,
    sizes: Sequence[float] = (),
    visible: Sequence[float] = (),
    drawn: str = "",
    coverage: Coverage | None = None,
    counted: str = "",
    recipe_yaml: str = "",
    commands: Sequence[Command] = (),
) -> PageData:
    """The page of `terse generate`.

    Args:
        result: what `terse generate --json` prints.
        name: of the recipe or run.
        gallery: images of the set.
        sizes: objects' sides over their image's.
        visible: objects' visible fractions.
        drawn: of how many images these are, where it is not all of them; a sentence.
        coverage: of the placements.
        counted: of how many, likewise.
        recipe_yaml: the resolved settings.
        commands: what makes it again, and what reads it.
    """
    images, objects = result.images, result.objects
    skipped = result.skipped
    return PageData(
        title=f"{count(images, 'composite' if result.real else 'image')} with {count(objects, 'object')}",
        kind="generate",
        name=name,
        summary=[f"The set is in {result.out}. {_time(result)}".rstrip()],
        facts=[
            Fact("Composites" if result.real else "Images", number(images)),
            Fact("Objects", number(objects), f"{objects / max(1, images):.2f} an image"),
            Fact("Classes", number(len(result.per_class))),
            *_real(result),
            *_speed(result),
        ],
        alarms=["Something was left out; a table below says what and why."] if skipped else [],
        charts=[
            *_charts(result, sizes, visible, drawn),
            *(_with_note(chart, counted) for chart in (coverage_charts(coverage) if coverage else [])),
        ],
        tables=[
            Table("Classes", ("Class", "Objects"), [(key, number(value)) for key, value in result.per_class.items()]),
            *([_with_note(coverage_table({"this set": coverage}), counted)] if coverage else []),
            *([Table("Left out", ("What",), [(str(one),) for one in skipped], prose=True)] if skipped else []),
        ],
        shown=Shown(gallery=gallery or Gallery()),
        recipe=recipe_yaml,
        commands=commands,
    )


def _time(result: SetResult) -> str:
    """Empty where the set was whole already, or the page is built long after it."""
    return f"It took {duration(result.seconds)}." if result.seconds else ""


def _real(result: SetResult) -> list[Fact]:
    parts = ", ".join(f"{name} {number(size)}" for name, size in result.real.items())
    return [Fact("Real images", number(sum(result.real.values())), parts)] if result.real else []


def _speed(result: SetResult) -> list[Fact]:
    speed = result.images_per_second or 0.0
    note = "real ones counted" if result.real else ""
    return [Fact("Images a second", f"{speed:,.1f}" if speed >= 0.1 else f"{speed:.1g}", note)] if speed else []


def _of_so_many(looked_at: int, total: int) -> str:
    """How many of the composites a figure is of; empty where it is of all."""
    return "" if looked_at == total else f" Of {looked_at:,} of {total:,} composites, evenly spread."


def _with_note(part: _Part, note: str) -> _Part:
    return replace(part, caption=f"{part.caption}{note}")


def _charts(result: SetResult, sizes: Sequence[float], visible: Sequence[float], drawn: str) -> list[Chart]:
    amounts = {name: {"objects": float(value)} for name, value in result.per_class.items()}
    charts = class_charts(amounts, "Objects that carry a label.") if len(amounts) > 1 else []
    charts += size_charts({"objects": sizes}, drawn)
    if len(visible):
        figure = figures.histogram({"objects": visible}, "Visible fraction", (0.0, 1.0))
        caption = f"What occlusion and the border leave of each object.{drawn}"
        charts.append(Chart("visible", "How much of the objects is seen", caption, figure))
    return charts
