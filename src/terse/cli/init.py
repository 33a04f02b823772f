"""`terse init`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from terse.cli.progress import counting

if TYPE_CHECKING:
    from terse.init.make import FirstLook

from terse.cli.answers import Json, answer

__all__ = ["init"]


def init(
    *,
    backgrounds: Path,
    data: Path | None = None,
    coco: Path | None = None,
    images: Path | None = None,
    voc: Path | None = None,
    yolo: Path | None = None,
    cutouts: Path | None = None,
    target: str | None = None,
    weights: Path | None = None,
    classes: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    out: Path = Path("recipe.yaml"),
    as_json: Json = False,
) -> None:
    """Look at your data and write the recipe that fits it, with a comment on each line.

    Args:
        backgrounds: Images to paste on: a folder, or a COCO file where they are annotated.
        data: Annotated photographs of any kind that terse reads: the file of annotations, or the folder that holds them.
        coco: A COCO file with masks; its photographs are found by --images.
        images: The photographs of the file of annotations; looked for beside it by default.
        voc: A VOC folder or VOCdevkit, instead of --coco.
        yolo: A YOLO data.yaml with outlines, instead of --coco.
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
    given = {"--data": data, "--coco": coco, "--voc": voc, "--yolo": yolo}
    named = [option for option, path in given.items() if path is not None]
    if len(named) > 1:
        raise RecipeError(
            f"{named[1]}: expected one of --data, --coco, --voc and --yolo, got {' and '.join(named)}; name one"
        )
    if not named:
        more = " beside --cutouts, because cut-outs alone show no scene to learn from" if cutouts is not None else ""
        raise RecipeError(
            f"--data: expected annotated photographs by --data, --coco, --voc or --yolo{more}, got none; add one"
        )
    real = _real(data, coco, images, voc, yolo)
    from terse.sources.guess import source_settings

    pasted = {"cutouts": str(cutouts)} if cutouts is not None else real
    behind = source_settings(backgrounds) if backgrounds.suffix == ".json" else {"images": str(backgrounds)}
    from terse.init.make import make_recipe

    sources = {"foregrounds": pasted, "backgrounds": behind, "train": real}
    with counting() as observer:
        look = make_recipe(sources, out, target=target, weights=weights, wanted=classes or [], observer=observer)
    answer(look.as_json(), _summary(look), as_json=as_json)


def _real(
    data: Path | None, coco: Path | None, images: Path | None, voc: Path | None, yolo: Path | None
) -> dict[str, Any]:
    """The annotated photographs in the recipe's words."""
    from terse.errors import RecipeError
    from terse.sources.guess import source_settings

    if data is not None:
        return source_settings(data, images)
    if coco is not None:
        if coco.is_dir() and images is None:
            return source_settings(coco)
        if coco.suffix == ".json" and coco.is_file():
            return source_settings(coco, images)
        return {"coco": str(coco), "images": str(images or coco.parent)}
    if images is not None:
        raise RecipeError(
            "--images: expected it beside --data or --coco, got it without; VOC and YOLO data name their images"
        )
    if voc is not None:
        return source_settings(voc) if voc.is_dir() else {"voc": str(voc)}
    return {"yolo": str(yolo)}


def _summary(look: FirstLook) -> str:
    shown = ", ".join(look.classes[:8]) + (f" and {len(look.classes) - 8} more" if len(look.classes) > 8 else "")
    same = look.parts["foregrounds"] == look.parts["train"]
    recipe = shlex.quote(str(look.out))
    return "\n".join(
        [
            *(seen.line(name) for name, seen in look.parts.items() if not (same and name == "foregrounds")),
            f"classes      {shown}",
            *(f"not pasted   {name}: {why}, so nothing of it is left" for name, why in look.lost.items()),
            f"machine      {look.gpu or 'no GPU: the small settings'}",
            f"target       {look.choice.told}",
            f"recipe       {look.out}",
            "now type",
            f"  terse check {recipe}",
            f"  terse preview {recipe}",
            f"  terse train {recipe}",
        ]
    )
