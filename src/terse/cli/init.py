"""`terse init`."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

__all__ = ["init"]


def init(
    *,
    backgrounds: Path,
    coco: Path | None = None,
    images: Path | None = None,
    voc: Path | None = None,
    yolo: Path | None = None,
    cutouts: Path | None = None,
    target: str | None = None,
    weights: Path | None = None,
    classes: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    out: Path = Path("recipe.yaml"),
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Look at your data and write the recipe that fits it, with a comment on each line.

    Args:
        backgrounds: Images to paste on: a folder, or a COCO file where they are annotated.
        coco: A COCO file with masks; its photographs are found by --images.
        images: The photographs of the COCO file; looked for beside it by default.
        voc: A VOC folder or VOCdevkit, in the place of --coco.
        yolo: A YOLO data.yaml with outlines, in the place of --coco.
        cutouts: A folder of cut-outs for each class, to be pasted; real images come from --coco, --voc or --yolo.
        target: The detector, of `terse targets`; by default one that fits this machine.
        weights: The detector's weights, or its backbone's.
        classes: What to paste; all classes with masks by default.
        out: The recipe to write.
        as_json: Print one JSON object.
    """
    from terse.errors import RecipeError, RunError

    if out.exists():
        raise RunError(f"--out: expected a new file, got {out}, which exists; name another or remove it")
    if not out.resolve().parent.is_dir():
        raise RunError(f"--out: expected a file in a folder that exists, got {out}; make the folder first")
    given = {"--coco": coco, "--voc": voc, "--yolo": yolo}
    named = [option for option, path in given.items() if path is not None]
    if len(named) > 1:
        raise RecipeError(f"{named[1]}: expected one of --coco, --voc and --yolo, got {' and '.join(named)}; name one")
    if not named:
        more = " beside --cutouts, because cut-outs alone show no scene to learn from" if cutouts is not None else ""
        raise RecipeError(f"--coco: expected annotated photographs by --coco, --voc or --yolo{more}, got none; add one")
    real = _real(coco, images, voc, yolo)
    from terse.preflight.guess import source_settings

    pasted = {"cutouts": str(cutouts)} if cutouts is not None else real
    behind = source_settings(backgrounds) if backgrounds.suffix == ".json" else {"images": str(backgrounds)}
    result = _write({"foregrounds": pasted, "backgrounds": behind, "train": real}, target, weights, classes or [], out)
    print(json.dumps(result, ensure_ascii=False) if as_json else _summary(result))


def _real(coco: Path | None, images: Path | None, voc: Path | None, yolo: Path | None) -> dict[str, Any]:
    """The annotated photographs in the recipe's words."""
    from terse.errors import RecipeError
    from terse.preflight.guess import source_settings

    if coco is not None:
        if coco.suffix == ".json" and coco.is_file():
            return source_settings(coco, images)
        return {"coco": str(coco), "images": str(images or coco.parent)}
    if images is not None:
        raise RecipeError("--images: expected it beside --coco, got it without; VOC and YOLO data name their images")
    return (
        source_settings(voc) if voc is not None and voc.is_dir() else {"voc": str(voc)} if voc else {"yolo": str(yolo)}
    )


def _write(
    sources: dict[str, Any], target: str | None, weights: Path | None, wanted: list[str], out: Path
) -> dict[str, Any]:
    import torch

    from terse.config import read_yaml
    from terse.folders import write_atomically
    from terse.preflight.classes import category_ids
    from terse.preflight.draft import draft
    from terse.preflight.guess import read_data
    from terse.preflight.survey import choose_classes, survey
    from terse.preflight.target_choice import choose_target
    from terse.recipe import builtin_recipes, load_recipe

    gpu = torch.cuda.is_available()
    train = survey(read_data(sources["train"], "train"))
    pasted = (
        train
        if sources["foregrounds"] is sources["train"]
        else survey(read_data(sources["foregrounds"], "foregrounds"))
    )
    behind = survey(read_data(sources["backgrounds"], "backgrounds"))
    where = next(iter(sources["foregrounds"].values()))
    chosen = choose_classes(pasted, train, wanted, str(where))
    ids = category_ids(Path(sources["train"]["coco"])) if "coco" in sources["train"] else {}
    choice = choose_target(target, weights, chosen, ids, gpu=gpu)
    sources["foregrounds"] = {**sources["foregrounds"], "classes": list(chosen)}
    if "coco" in sources["backgrounds"]:
        sources["backgrounds"]["without"] = [name for name in chosen if name in behind.objects]
    sources = {part: _as_seen_from(out, source) for part, source in sources.items()}
    sources["val"] = _val(sources["train"])
    named = None if weights is None else _path_from(out, str(weights))
    text = draft(
        out.stem, sources, choice, named, gpu=gpu, small=read_yaml(builtin_recipes()["coco-person-small"], "small")
    )
    write_atomically(out, text.encode())
    load_recipe(out)  # what was written can be read: a slip here is ours
    return {
        "out": str(out),
        "gpu": torch.cuda.get_device_name(0) if gpu else None,
        "classes": list(chosen),
        "target": {"kind": choice.kind, "weights": choice.found, "told": choice.told},
        "sources": {
            name: {
                "images": s.images,
                "objects": s.objects,
                "masks": s.masks,
                "side_share": s.side_share,
                "skipped": s.skipped,
            }
            for name, s in (("foregrounds", pasted), ("backgrounds", behind), ("train", train))
        },
    }


def _val(train: dict[str, Any]) -> Any:
    """The data set's own split, where it has one that the recipe can name; else a fifth of train."""
    if "yolo" not in train:
        return 0.2
    from terse.errors import TerseError
    from terse.preflight.guess import read_data

    try:
        read_data({**train, "split": "val"}, "val")
    except TerseError:
        return 0.2
    return {**train, "split": "val"}


def _as_seen_from(out: Path, source: dict[str, Any]) -> dict[str, Any]:
    paths = ("coco", "images", "voc", "yolo", "cutouts")
    return {key: _path_from(out, value) if key in paths else value for key, value in source.items()}


def _path_from(out: Path, path: str) -> str:
    """Relative paths start at the recipe's folder, not at the working directory; absolute ones stay."""
    if Path(path).expanduser().is_absolute():
        return path
    return Path(os.path.relpath(path, out.resolve().parent)).as_posix()


def _summary(result: dict[str, Any]) -> str:
    from terse.preflight.survey import Survey, told

    parts = {name: Survey(**values) for name, values in result["sources"].items()}
    classes = result["classes"]
    shown = ", ".join(classes[:8]) + (f" and {len(classes) - 8} more" if len(classes) > 8 else "")
    same = parts["foregrounds"] == parts["train"]
    recipe = shlex.quote(result["out"])
    return "\n".join(
        [
            *(told(name, seen) for name, seen in parts.items() if not (same and name == "foregrounds")),
            f"classes      {shown}",
            f"machine      {result['gpu'] or 'no GPU: the small settings'}",
            f"target       {result['target']['told']}",
            f"recipe       {result['out']}",
            "now type",
            f"  terse check {recipe}",
            f"  terse preview {recipe}",
            f"  terse train {recipe}",
        ]
    )
