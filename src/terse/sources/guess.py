"""Which kind of data a path leads to, so that nobody has to name it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from terse.errors import DataError

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["is_recipe", "read_data", "source_settings"]

_LOOKED_AT = 5


def is_recipe(name: str) -> bool:
    """Whether a name is a built-in recipe's or a YAML file that is no YOLO data set's."""
    from terse.recipe import builtin_recipes
    from terse.sources.yolo import is_yolo_yaml

    path = Path(name)
    if name in builtin_recipes() or path.suffix.lower() not in (".yaml", ".yml"):
        return name in builtin_recipes()
    if not path.is_file():
        return True
    return not is_yolo_yaml(path)


def read_data(settings: dict[str, Any]) -> Annotations:
    """The annotations that a source's settings ask for.

    Raises:
        TerseError: settings or data that cannot be used.
    """
    from terse.config import kind_of, validate
    from terse.registry import lookup

    model: Any = lookup("source", kind_of("source", settings))
    annotations: Annotations = validate(model, settings, None).build()
    return annotations


def source_settings(path: Path, images: Path | None = None) -> dict[str, Any]:
    """The recipe's words for the data at a path.

    Args:
        path: a COCO file, a YOLO data.yaml, or a folder of VOC, YOLO, cut-outs or images.
        images: the photographs of a COCO file; by default looked for beside it.

    Raises:
        DataError: nothing there, or nothing that is known.
    """
    from terse.sources.coco import images_folder

    if path.is_file():
        suffix = path.suffix.lower()
        if suffix == ".json":
            return {"coco": str(path), "images": str(images or images_folder(path))}
        if suffix in (".yaml", ".yml", ".data") or path.name == "classes.txt":
            return {"yolo": str(path)}
        raise DataError(
            f"{path}: expected a recipe, COCO JSON, a YOLO data.yaml or a folder, got a {suffix or 'nameless'} file; "
            "give the file that names the images"
        )
    if not path.is_dir():
        raise DataError(
            f"{path}: expected a recipe or data, got nothing there; see `terse recipes` for the built-in ones"
        )
    return _folder(path)


def _folder(path: Path) -> dict[str, Any]:
    from terse.sources.voc import voc_layout
    from terse.sources.yolo import yolo_file

    if (settings := yolo_file(path)) is not None:
        return {"yolo": str(path if settings.name == "data.yaml" else settings)}
    if voc_layout(path) is not None:
        return {"voc": str(path)}
    years = sorted(folder.name for folder in path.iterdir() if folder.is_dir() and _is_voc(folder))
    if years:
        return {"voc": str(path), "folders": years}
    _refuse_loose_cutouts(path)
    return {"cutouts" if _holds_cutouts(path) else "images": str(path)}


def _refuse_loose_cutouts(path: Path) -> None:
    """Cut-outs that would be read as photographs, because they have no class's folder or no alpha channel.

    Raises:
        DataError: what lies there, and what was expected.
    """
    loose = list(islice(_pictures(path, deep=False), _LOOKED_AT))
    if loose and all(_is_see_through(file) for file in loose):
        raise DataError(
            f"{path}: expected a folder for each class of cut-outs, got cut-outs beside each other, as {loose[0].name}; "
            f"move them into {path / 'CLASS'}"
        )
    inner = [] if loose else list(islice(_pictures(path, deep=True), _LOOKED_AT))
    if len(inner) > 1 and not any(map(_is_cutout, inner)) and all(map(_stands_on_one_colour, inner)):
        raise DataError(
            f"{path}: expected photographs, or cut-outs with an alpha channel or a mask file each, got objects on one colour "
            f"without either, as {inner[0].relative_to(path)}; save them as RGBA PNG, or put NAME_mask.png beside each"
        )


def _is_see_through(file: Path) -> bool:
    """Whether an image has an alpha channel that cuts something away."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.mode in ("RGBA", "LA", "PA") and image.getchannel("A").getextrema()[0] == 0
    except OSError:
        return False


def _stands_on_one_colour(file: Path) -> bool:
    """Whether the rim of an image is of one colour exactly, and the image is not: no photograph's is."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError:
        return False
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool((rim == rim[0]).all() and (pixels != rim[0]).any())


def _is_voc(path: Path) -> bool:
    return (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()


def _holds_cutouts(path: Path) -> bool:
    """Folders of classes whose images have an alpha channel, or a mask file each."""
    if next(_pictures(path, deep=False), None) is not None:
        return False
    first = list(islice(_pictures(path, deep=True), _LOOKED_AT))
    return bool(first) and all(_is_cutout(file) for file in first)


def _is_cutout(file: Path) -> bool:
    from PIL import Image

    if file.parent.name.lower() in ("images", "masks") and (file.parent.parent / "masks").is_dir():
        return True
    if file.with_suffix(".pbm").is_file() or any(file.parent.glob(f"{file.stem}_mask.*")) or "_mask" in file.stem:
        return True
    try:
        with Image.open(file) as image:
            return image.mode in ("RGBA", "LA", "PA")
    except OSError:
        return False


def _pictures(path: Path, *, deep: bool) -> Iterator[Path]:
    from terse.sources.decode import IMAGE_SUFFIXES

    found = path.rglob("*") if deep else path.glob("*")
    return (file for file in found if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith("."))
