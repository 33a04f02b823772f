"""`terse masks`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from terse.cli.answers import Json, answer
from terse.cli.jobs import recipe_or_data, trust_given, with_trust
from terse.cli.progress import counting, stoppable

if TYPE_CHECKING:
    from terse.masks.make import Cutter, Masks
    from terse.masks.source_file import Told
    from terse.sources.annotations import Annotations

__all__ = ["masks"]


@with_trust
def masks(
    source: str,
    *overrides: str,
    out: Path,
    images: Path | None = None,
    segmentation: Path | None = None,
    engine: Literal["grabcut", "sam"] = "grabcut",
    model: Path | None = None,
    drop: Path | None = None,
    min_score: float = 0.0,
    workers: int | None = None,
    executor: str = "local",
    resume: bool = False,
    as_json: Json = False,
) -> int:
    """Make a mask for each box that has none; write them as COCO with scores, and a page to look at them.

    The same command with --drop or --min-score on a file that is made already drops masks from it; nothing is cut again.

    Args:
        source: A recipe, whose foregrounds are taken, or data: a COCO file, a YOLO data.yaml, a VOC folder.
        overrides: Settings of the recipe as key=value.
        out: The COCO file to write; its page is written beside it.
        images: The photographs of a COCO file; looked for beside it by default.
        segmentation: A folder of class segmentations, PNGs under the images' names; VOC's own by default.
        engine: What cuts: grabcut, or sam with --model.
        model: A folder with a SAM-family model in the form of transformers.
        drop: A list that the page saved: these masks are left out, their boxes stay.
        min_score: Leave out masks scored lower, 0 to 1.
        workers: Processes; all cores by default.
        executor: What maps the shards: local, or an executor of an installed package.
        resume: Go on with masks that were cut short.
        as_json: Print the result as one JSON object.
    """
    from terse.errors import RecipeError, RunError

    if out.suffix.lower() != ".json":
        raise RunError(f"--out: expected a .json file, got {out}")
    if not 0 <= min_score <= 1:
        raise RecipeError(f"--min-score: expected a number from 0 to 1, got {min_score:g}")
    if workers is not None and workers < 0:
        raise RecipeError(f"--workers: expected an integer >= 0, got {workers}")
    if segmentation is not None and not segmentation.is_dir():
        got = "a file" if segmentation.exists() else "nothing"
        raise RunError(f"--segmentation: expected a folder of PNGs, got {got} at {segmentation}")
    cutter = _cutter(engine, model)
    from terse.masks.coco_file import dropped_rows, read_drop_list, write_masks
    from terse.masks.segmentation import find_segmentation
    from terse.progress import Interrupted

    listed = read_drop_list(drop) if drop is not None else ()
    annotations, told = _annotations(source, overrides, images)
    classes_of_pixels = segmentation if segmentation is not None else find_segmentation(annotations)
    typed = [
        "terse",
        "masks",
        source,
        *overrides,
        *_given({"--images": images, "--segmentation": segmentation, "--model": model}),
        *_given({"--engine": None if engine == "grabcut" else engine}),
        "--out",
        str(out),
        *trust_given(),
    ]
    with counting() as observer, stoppable(observer):
        try:
            found, request = _made(
                annotations, out, cutter, engine, classes_of_pixels, workers, executor, resume, observer
            )
        except Interrupted:
            asked = _given({"--drop": drop, "--min-score": min_score or None, "--workers": workers})
            asked += _given({"--executor": None if executor == "local" else executor})
            observer.say(f"stopped; go on with: {shlex.join([*typed, *asked, '--resume'])}")
            return observer.exit_status
    dropped = dropped_rows(found, listed, min_score)
    write_masks(found, dropped, out, request, told)
    shutil.rmtree(_parts(out), ignore_errors=True)
    from terse.report.masks_page import build_masks_page

    page = build_masks_page(found, dropped, out, source, again=shlex.join(typed))
    result = _result(found, dropped, out, page)
    answer(result, _summary(result), as_json=as_json)
    return 0


def _cutter(name: str, model: Path | None) -> Cutter:
    from terse.errors import RecipeError

    if name == "grabcut":
        from terse.masks.grabcut import GrabCut

        if model is not None:
            raise RecipeError("--model: expected it beside --engine sam, got it beside grabcut, which needs none")
        return GrabCut()
    from terse.masks.sam import Sam

    if model is None:
        raise RecipeError("--model: expected the folder of a SAM-family model for --engine sam, got none")
    cutter = Sam(model)
    cutter.check()
    return cutter


def _annotations(source: str, overrides: tuple[str, ...], images: Path | None) -> tuple[Annotations, Told]:
    """The boxes, and what a COCO file tells beside them."""
    from terse.errors import DataError, RecipeError
    from terse.masks.source_file import Told, read_told
    from terse.sources.coco import CocoConfig
    from terse.sources.guess import read_data

    data = recipe_or_data(source, images, overrides)
    told = Told()
    if data is None:
        from terse.recipe import load_recipe
        from terse.sources.run_data import open_sources

        recipe = load_recipe(source, overrides)
        given = recipe.foregrounds
        if given is None:
            raise RecipeError(f"foregrounds: expected a source of boxes in {source}, got nothing")
        annotations = open_sources(recipe, "foregrounds")["foregrounds"]
        if isinstance(given, CocoConfig) and isinstance(local := given.local(), CocoConfig):
            told = read_told(local.coco, local.rename)
    else:
        annotations = read_data(data)
        if "coco" in data:
            told = read_told(Path(data["coco"]))
    if annotations.cut_outs or not len(annotations.labels):
        raise DataError(f"{source}: expected photographs with boxes, got none; give annotated photographs")
    return annotations, told


def _made(
    annotations: Annotations,
    out: Path,
    cutter: Cutter,
    name: str,
    segmentation: Path | None,
    workers: int | None,
    executor: str,
    resume: bool,
    observer: Any,
) -> tuple[Masks, dict[str, Any]]:
    """The masks, made or read from the file that holds them already, and what they are a function of."""
    from terse import registry
    from terse.masks.coco_file import read_masks
    from terse.masks.make import make_masks, request_of
    from terse.workers import usable_cores

    request = request_of(annotations, cutter, name, segmentation)
    if out.exists():
        return read_masks(out, annotations, request, segmentation), request
    maps = registry.lookup("executor", executor)().build(usable_cores() if workers is None else workers)
    made = make_masks(
        annotations,
        _parts(out),
        cutter,
        name,
        segmentation=segmentation,
        executor=maps,
        resume=resume,
        observer=observer,
    )
    return made, request


def _parts(out: Path) -> Path:
    return out.with_name(f"{out.name}.parts")


def _given(options: Mapping[str, object]) -> list[str]:
    """The options that must be typed again: those that are not None."""
    return [word for name, value in options.items() if value is not None for word in (name, str(value))]


def _result(found: Masks, dropped: frozenset[int], out: Path, page: Path) -> dict[str, Any]:
    return {
        "out": str(out),
        "images": str(found.annotations.root),
        "masks": len(found.made) - len(dropped),
        "sources": dict(Counter(made.source for made in found.made.values())),
        "own": int(found.annotations.masked.sum()),
        "dropped": len(dropped),
        "failed": len(found.failed),
        "page": str(page),
    }


def _summary(result: dict[str, Any]) -> str:
    made = ", ".join(f"{amount:,} from {name}" for name, amount in result["sources"].items()) or "none"
    own = f", {result['own']:,} that the data had" if result["own"] else ""
    left = f"; {result['failed']:,} boxes without a mask" if result["failed"] else ""
    return "\n".join(
        [
            f"masks        {made}{own}, {result['dropped']:,} dropped{left}",
            f"written      {result['out']}",
            f"page         {result['page']}: tick off the bad ones, save the list, and give it to --drop",
            "in a recipe",
            f"  foregrounds: {{coco: {_in_yaml(result['out'])}, images: {_in_yaml(result['images'])}}}",
            "or now type",
            f"  terse init --coco {shlex.quote(result['out'])} --images {shlex.quote(result['images'])} --backgrounds D",
        ]
    )


def _in_yaml(path: str) -> str:
    """The path, quoted where YAML would read something else."""
    return path if re.fullmatch(r"[\w./-]+", path, re.ASCII) else json.dumps(path, ensure_ascii=False)
