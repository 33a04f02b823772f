"""`terse generate`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from terse.generate import GenerateSettings, LoadTrained
    from terse.recipe import Recipe
    from terse.sources.material import Material

__all__ = ["generate"]


def generate(
    source: str,
    *overrides: str,
    count: int,
    out: Path,
    data_format: Annotated[str, Parameter(name="--format")] = "coco",
    workers: int | None = None,
    executor: str = "local",
    seed: int = 0,
    resume: bool = False,
    objects: str = "1",
    quota: Annotated[list[str] | None, Parameter(negative="")] = None,
    hardness: str | None = None,
    max_overlap: float = 0.5,
    max_truncation: float = 1.0,
    min_visible: float = 0.1,
    distractors: str = "0",
    distractor_class: Annotated[list[str] | None, Parameter(negative="")] = None,
    blend: Annotated[list[str] | None, Parameter(negative="")] = None,
    all_blends: bool = False,
    side: int | None = None,
    image: Literal["jpeg", "png", "webp"] = "jpeg",
    quality: int = 90,
    masks: Literal["auto", "rle", "polygon", "box"] = "auto",
    tries: int = 50,
    page: bool = True,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Write a data set of composites.

    Without training: terse generate paste foregrounds.coco=F foregrounds.images=D backgrounds.images=D --count 1000
    --out DIR; or foregrounds.cutouts=D, a folder with a sub-folder of cut-outs for each class.

    Args:
        source: A finished run's folder, a recipe file or a built-in recipe; paste needs no training.
        overrides: Settings of the recipe as key=value.
        count: Images.
        out: A new or empty folder.
        data_format: coco, voc, yolo, webdataset, or an exporter of an installed package.
        workers: Processes; all cores by default. The set does not depend on it.
        executor: What maps the shards: local, or an executor of an installed package.
        seed: Another seed is another set.
        resume: Go on with a set that was cut short.
        objects: Objects an image, 2 or 1..3.
        quota: Objects of a class in the whole set, as NAME=COUNT; may be given several times.
        hardness: Keep composites in this window, as 0.5..1.0; needs a run.
        max_overlap: Largest share of an object that other pastes may hide.
        max_truncation: Largest share of a pasted object beyond the border.
        min_visible: Objects of which less is seen are marked to be ignored.
        distractors: Pastes without a label, 2 or 0..3.
        distractor_class: Class that is pasted only as a distractor; may be given several times.
        blend: alpha, gaussian, box, motion, none or poisson; several are mixed.
        all_blends: Draw every scene once with each blend.
        side: Shorter side of the images in pixels; the backgrounds' own size by default.
        image: File format of the images.
        quality: Of JPEG and WebP, 1 to 100.
        masks: rle (exact), polygon or box; auto is the format's best.
        tries: How often an image is drawn anew before it is skipped.
        page: Write report.html, with a sample of the composites, beside the set.
        as_json: Print the result as one JSON object.
    """
    from terse.config import validate
    from terse.generate.settings import GenerateSettings

    given = {
        "count": count,
        "format": data_format,
        "seed": seed,
        "objects": _window("--objects", objects, int),
        "quota": dict(_quota(item) for item in quota or ()),
        "hardness": None if hardness is None else _window("--hardness", hardness, float),
        "max_overlap": max_overlap,
        "max_truncation": max_truncation,
        "min_visible": min_visible,
        "distractors": _window("--distractors", distractors, int),
        "distractor_classes": distractor_class or (),
        "blends": _blends(blend, all_blends=all_blends),
        "all_blends": all_blends,
        "side_px": side,
        "image": image,
        "quality": quality,
        "masks": masks,
        "tries": tries,
    }
    settings: GenerateSettings = validate(GenerateSettings, given, None)
    recipe, material, trained = _source(source, overrides)
    from terse.cli.progress import counting
    from terse.generate import generate as make
    from terse.workers import usable_cores

    with counting() as observer:
        result = make(
            recipe,
            settings,
            out,
            workers=usable_cores() if workers is None else workers,
            executor=executor,
            resume=resume,
            trained=trained,
            material=material,
            observer=observer,
        )
    drawn = _page(Path(result["out"]), result) if page else None
    print(json.dumps(result, ensure_ascii=False) if as_json else summary(result))
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
    rate = f"in {result['seconds']:.1f} s ({result['images_per_second']:.0f} a second)"
    lines = [
        f"{result['images']:,} images, {result['objects']:,} objects {rate} -> {result['out']}",
        f"objects  {classes}",
    ]
    shown = result["skipped"][:10]
    more = len(result["skipped"]) - len(shown)
    return "\n".join([*lines, *(f"skipped  {item}" for item in shown), *([f"skipped  {more} more"] if more else [])])


def _source(source: str, overrides: tuple[str, ...]) -> tuple[Recipe, Material | None, LoadTrained | None]:
    from terse.errors import RecipeError
    from terse.recipe import load_recipe

    folder = Path(source)
    if not folder.is_dir():
        return load_recipe(source, overrides), None, None
    if overrides:
        raise RecipeError(f"{overrides[0]}: expected no overrides beside a run, got some; its recipe is in recipe.yaml")
    from terse.generate.runs import open_trained

    return open_trained(folder)


def _window(option: str, text: str, kind: type[int | float]) -> tuple[float, float]:
    from terse.errors import RecipeError

    low, dots, high = text.partition("..")
    try:
        return (kind(low), kind(high)) if dots else (kind(text), kind(text))
    except ValueError:
        raise RecipeError(f"{option}: expected a number or LOW..HIGH, got {text!r}; for example 1..3") from None


def _quota(text: str) -> tuple[str, int]:
    from terse.errors import RecipeError

    name, equals, number = text.rpartition("=")
    if not equals or not name or not number.isdecimal():
        raise RecipeError(f"--quota: expected NAME=COUNT, got {text!r}; for example --quota dog=500")
    return name, int(number)


def _blends(chosen: list[str] | None, *, all_blends: bool) -> tuple[str, ...]:
    from terse.recipe import BLENDS

    if chosen:
        return tuple(dict.fromkeys(name for item in chosen for name in item.split(",")))
    return BLENDS if all_blends else ("alpha",)
