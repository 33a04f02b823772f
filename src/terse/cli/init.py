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
    classes: Annotated[list[str] | None, Parameter(consume_multiple=True)] = None,
    out: Path = Path("recipe.yaml"),
    as_json: Json = False,
) -> None:
    """Look at your data and write the recipe that fits it, with a comment on each line.

    Args:
        backgrounds: Images to paste on: a folder, or a COCO file where they are annotated.
        data: Annotated photographs of any kind that terse reads: the file of annotations, or the folder that holds them;
            beside --cutouts also a folder of photographs for each class, which a classifier learns.
        coco: A COCO file with masks; its photographs are found by --images.
        images: The photographs of the file of annotations; looked for beside it by default.
        voc: A VOC folder or VOCdevkit, instead of --coco.
        yolo: A YOLO data.yaml with outlines, instead of --coco.
        cutouts: A folder of cut-outs for each class, to be pasted; real images come from --coco, --voc or --yolo.
        target: A kind of detector (`terse targets`), or a classifier's name in torchvision; by default one that fits the
            data and this machine.
        weights: The target's weights, or its backbone's.
        classes: What to paste; all classes with masks by default.
        out: The recipe to write.
        as_json: Print one JSON object.
    """
    from terse.errors import RecipeError, RunError

    if out.suffix.lower() not in (".yaml", ".yml"):
        raise RunError(f"--out: expected a .yaml file, got {out}; other commands know a recipe by it")
    if out.exists():
        raise RunError(f"--out: expected a new file, got {out}, which exists; name another or remove it")
    if not out.resolve().parent.is_dir():
        raise RunError(f"--out: expected a file in a folder that exists, got {out}; make the folder first")
    options = {"--data": data, "--coco": coco, "--voc": voc, "--yolo": yolo}
    given = {option: path for option, path in options.items() if path is not None}
    if len(given) > 1:
        second = list(given)[1]
        raise RecipeError(
            f"{second}: expected one of --data, --coco, --voc and --yolo, got {' and '.join(given)}; name one"
        )
    if not given:
        more = " beside --cutouts, because cut-outs alone show no scene to learn from" if cutouts is not None else ""
        raise RecipeError(
            f"--data: expected annotated photographs by --data, --coco, --voc or --yolo{more}, got none; add one"
        )
    if images is not None and not {"--data", "--coco"} & set(given):
        raise RecipeError(
            "--images: expected it beside --data or --coco, got it without; VOC and YOLO data name their images"
        )
    from terse.sources.guess import require_path, source_settings

    typed = {**given, "--images": images, "--cutouts": cutouts, "--backgrounds": backgrounds, "--weights": weights}
    for option, path in typed.items():
        if path is not None:
            require_path(option, path)
    real = _real(*next(iter(given.items())), images)
    if cutouts is not None:
        real = _classified(real)
    pasted = {"cutouts": str(cutouts)} if cutouts is not None else real
    behind = source_settings(backgrounds) if backgrounds.suffix.lower() == ".json" else {"images": str(backgrounds)}
    from terse.init.make import make_recipe

    sources = {"foregrounds": pasted, "backgrounds": behind, "train": real}
    with counting() as observer:
        look = make_recipe(sources, out, target=target, weights=weights, wanted=classes or [], observer=observer)
    answer(look.as_json(), _summary(look), as_json=as_json)


def _real(option: str, path: Path, images: Path | None) -> dict[str, Any]:
    """The annotated photographs in the recipe's words."""
    from terse.sources.guess import source_settings

    is_json = path.suffix.lower() == ".json" and path.is_file()
    if option == "--coco" and not is_json and (images is not None or not path.is_dir()):
        return {"coco": str(path), "images": str(images or path.parent)}
    if option == "--yolo" or (option == "--voc" and not path.is_dir()):
        return {option.removeprefix("--"): str(path)}
    return source_settings(path, images)


def _classified(real: dict[str, Any]) -> dict[str, Any]:
    """Photographs without annotations, in folders only, have their folder's name as class."""
    from terse.sources.finder import image_files

    if list(real) != ["images"] or any("/" not in name for name in image_files(Path(real["images"]))):
        return real
    return {"class_folders": real["images"]}


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
            *(f"also fits    {name} ({why})" for name, why in look.others.items()),
            f"recipe       {look.out}",
            "now type",
            f"  terse check {recipe}",
            f"  terse preview {recipe}",
            f"  terse train {recipe}",
        ]
    )
