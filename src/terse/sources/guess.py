"""Which kind of data a path leads to, so that nobody has to name it."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from terse.config import kind_of
from terse.errors import DataError
from terse.recipe_files import builtin_recipes
from terse.registry import lookup, nearest
from terse.sources.annotations import Annotations
from terse.sources.coco import name_in_url
from terse.sources.cvat import is_cvat
from terse.sources.decode import IMAGE_SUFFIXES, UNREADABLE
from terse.sources.documents import head_of, some_names
from terse.sources.finder import files_below, folder_of_photographs, image_files
from terse.sources.labelme import is_labelme
from terse.sources.via import is_via
from terse.sources.voc import voc_layout
from terse.sources.yolo import is_yolo_yaml, yolo_file
from terse.urls import url_of
from terse.validation import validate

__all__ = ["is_recipe", "read_data", "require_path", "source_settings"]

_LOOKED_AT = 5
_LISTED = 50
_BESIDE = 1000
_PEEKED = 1 << 20
_SAMPLE = 64
_OF_DATASETS = "metadata.parquet"  # of Hugging Face's datasets, and of `--format imagefolder`
_TABLES = (".csv", ".tsv", ".jsonl", ".json", ".ndjson", ".parquet")
_TOLD = re.compile(rb"label|class|categor|x_?min|box|object|annotation", re.IGNORECASE)
_YOLO_LINE = re.compile(rb"\s*\d+(\s+\d*\.\d+){4}")


def is_recipe(name: str) -> bool:
    """Whether a name is a built-in recipe's or a YAML file that is no YOLO data set's."""
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
    model: Any = lookup("source", kind_of("source", settings))
    annotations: Annotations = validate(model, settings, None).build()
    return annotations


def source_settings(path: Path, images: Path | None = None) -> dict[str, Any]:
    """The recipe's words for the data at a path.

    Args:
        path: an annotation file, or a folder of annotated photographs, cut-outs or images.
        images: the photographs of an annotation file; by default looked for beside it.

    Raises:
        DataError: nothing there, nothing that is known, or several things that may be meant.
    """
    if path.is_file():
        return _file(path, images)
    if not path.is_dir():
        if (url := url_of(path)) is not None:
            raise DataError(f"{url}: expected data on this machine, got a URL; copy them here, or name it in a recipe")
        hint = _beside(path) or "; see `terse recipes` for the built-in ones"
        raise DataError(f"{path}: expected a recipe or data, got nothing there{hint}")
    return _folder(path)


def require_path(option: str, path: Path) -> None:
    """Refuse a path of this machine, typed for an option, at which nothing lies.

    Raises:
        DataError: nothing there; what lies there under nearly this name is named.
    """
    if url_of(path) is None and not path.expanduser().exists():
        hint = _beside(path) or "; relative paths start where the command is typed"
        raise DataError(f"{option}: expected a file or folder, got nothing at {path}{hint}")


def _beside(path: Path) -> str:
    """The hint at a file or folder of nearly this name that stands beside the path; else the empty string."""
    folder = path.parent
    return nearest(path.name, [one.name for one in islice(folder.iterdir(), _BESIDE)]) if folder.is_dir() else ""


def _file(path: Path, images: Path | None) -> dict[str, Any]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        if is_labelme(path):
            raise DataError(f"{path}: expected data, got labelme's file of one image; give its folder, {path.parent}")
        kind, key = ("via", "filename") if is_via(path) else ("coco", "file_name")
        names = some_names(path, key) or list(map(name_in_url, some_names(path, "coco_url")))
        return {kind: str(path), "images": str(images or folder_of_photographs(path, names))}
    if suffix == ".xml" and is_cvat(path):
        return {"cvat": str(path), **({} if images is None else {"images": str(images)})}
    if suffix in (".yaml", ".yml", ".data") or path.name == "classes.txt":
        return {"yolo": str(path)}
    raise DataError(
        f"{path}: expected a recipe, COCO JSON, a YOLO data.yaml or a folder, got a {suffix or 'nameless'} file; "
        "give the file that names the images"
    )


def _folder(path: Path) -> dict[str, Any]:
    if (settings := yolo_file(path)) is not None:
        return {"yolo": str(path if settings.name == "data.yaml" else settings)}
    if voc_layout(path) is not None:
        return {"voc": str(path)}
    for kit in (path, path / "VOCdevkit"):
        years = sorted(folder.name for folder in kit.iterdir() if _is_voc(folder)) if kit.is_dir() else []
        if years:
            return {"voc": str(kit), "folders": years}
    found = _annotation_file(path)
    if found is not None:
        return found if isinstance(found, dict) else _file(found, None)
    _refuse_masks_alone(path)
    _refuse_loose_cutouts(path)
    if _holds_cutouts(path):
        return {"cutouts": str(path)}
    _refuse_what_is_not_read(path)
    return {"images": str(path)}


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
    try:
        with Image.open(file) as image:
            return image.mode in ("RGBA", "LA", "PA") and image.getchannel("A").getextrema()[0] == 0
    except UNREADABLE:
        return False


def _stands_on_one_colour(file: Path) -> bool:
    """Whether the rim of an image is of one colour exactly, and the image is not: no photograph's is."""
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB"))
    except UNREADABLE:
        return False
    rim = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return bool((rim == rim[0]).all() and (pixels != rim[0]).any())


def _is_voc(path: Path) -> bool:
    return (path / "Annotations").is_dir() and (path / "JPEGImages").is_dir()


def _annotation_file(path: Path) -> Path | dict[str, Any] | None:
    """The one file that annotates a folder's images; labelme's many are their folder's.

    Raises:
        DataError: there are several.
    """
    folders = sorted(filter(Path.is_dir, path.iterdir()))
    for names in (None, ("annotations",), ("train", "valid", "val", "test")):
        # By their names as they are listed: a disk that knows no case has `annotations` under other names as well.
        places = [path] if names is None else [one for one in folders if one.name.casefold() in names]
        found = [
            file
            for place in places
            for file in islice([*_shown(place.glob("*.json")), *_shown(place.glob("*.xml"))], _LISTED)
        ]
        if any(file.suffix == ".json" and is_labelme(file) for file in found):
            return {"labelme": str(path)}
        known = [file for file in found if (is_cvat(file) if file.suffix == ".xml" else is_via(file) or _is_coco(file))]
        if len(known) > 1:
            several = ", ".join(file.relative_to(path).as_posix() for file in known)
            raise DataError(f"{path}: expected one file of annotations, got {several}; give the one that is meant")
        if known:
            return known[0]
    below = (path / name for name in files_below(path.resolve()) if name.endswith(".json"))
    return {"labelme": str(path)} if any(map(is_labelme, islice(below, _LOOKED_AT))) else None


def _shown(files: Iterable[Path]) -> list[Path]:
    """The files in order, without hidden ones: macOS lays `._a.json` beside each `a.json` on other disks."""
    return sorted(file for file in files if not file.name.startswith(".") and file.is_file())


def _is_coco(file: Path) -> bool:
    return re.search(rb'"(images|annotations|categories)"\s*:\s*\[', head_of(file, _PEEKED)) is not None


def _holds_cutouts(path: Path) -> bool:
    """Folders of classes whose images have an alpha channel, or a mask file each."""
    if next(_pictures(path, deep=False), None) is not None:
        return False
    first = list(islice(_pictures(path, deep=True), _LOOKED_AT))
    return bool(first) and all(map(_is_cutout, first))


def _is_cutout(file: Path) -> bool:
    if file.parent.name.lower() in ("images", "masks") and (file.parent.parent / "masks").is_dir():
        return True
    beside = file.parent.glob(f"{glob.escape(file.stem)}_mask.*")
    if file.with_suffix(".pbm").is_file() or any(beside) or "_mask" in file.stem:
        return True
    try:
        with Image.open(file) as image:
            return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    except UNREADABLE:
        return False


def _refuse_masks_alone(path: Path) -> None:
    """Masks of VOC's kind without XML do not tell what they show.

    Raises:
        DataError: that is what lies there.
    """
    masks = [name for name in ("SegmentationObject", "SegmentationClass") if (path / name).is_dir()]
    if masks:
        raise DataError(
            f"{path}: expected VOC's Annotations beside {masks[0]}, got masks alone, which do not tell the classes; "
            "add the XML files, or give the images' folder"
        )


def _refuse_what_is_not_read(path: Path) -> None:
    """A folder of images with as many files of annotations, or with a table of them, is not taken for plain images.

    Raises:
        DataError: what lies there and what is expected.
    """
    pictures = list(_pictures(path, deep=True))
    images = {file.stem for file in pictures}
    named = images | {file.name for file in pictures}  # some tools write a.jpg.json
    everything = list(files_below(path.resolve()))
    for suffix in (".xml", ".json", ".txt", ".csv"):
        files = [path / name for name in everything if name.endswith(suffix)]
        beside = [file for file in files if file.stem in named]
        if files and 2 * len(beside) >= len(images):
            first = (beside or files)[0].relative_to(path).as_posix()
            if beside and _is_yolo_label(beside[0]):
                raise DataError(
                    f"{path}: expected YOLO data with a data.yaml, got labels of YOLO's form ({first}) without one; write "
                    f"{path / 'data.yaml'}, which holds `train: images` and `names: [FIRST, SECOND, ...]`"
                )
            raise DataError(_unknown_kind(path, f"{len(images):,} images and {len(files):,} {suffix} files ({first})"))
    stems = sorted(images)
    for file in sorted(path / name for name in everything if name.lower().endswith(_TABLES)):
        if file.is_file() and _annotates(file, stems):
            table = file.relative_to(path).as_posix()
            raise DataError(_unknown_kind(path, f"{len(images):,} images and a table that names them ({table})"))


def _unknown_kind(path: Path, got: str) -> str:
    return (
        f"{path}: expected data of a kind that is known, got {got} of another; known are COCO, VOC, YOLO (with data.yaml, "
        "obj.data or classes.txt), labelme, VIA and CVAT for images; for images alone, give a folder without them"
    )


def _annotates(table: Path, images: Sequence[str]) -> bool:
    """Whether a table's first line speaks of annotations, and its beginning names half of a sample of the images.

    A table of Parquet is told by its name.
    """
    if table.suffix.lower() == ".parquet":
        return table.name == _OF_DATASETS
    text = head_of(table, _PEEKED)
    sample = images[:: max(1, len(images) // _SAMPLE)]
    told = _TOLD.search(text.partition(b"\n")[0]) is not None
    return told and bool(sample) and 2 * sum(name.encode() in text for name in sample) >= len(sample)


def _is_yolo_label(file: Path) -> bool:
    return _YOLO_LINE.match(head_of(file, _PEEKED)) is not None


def _pictures(path: Path, *, deep: bool) -> Iterator[Path]:
    if deep:
        return (path / name for name in image_files(path.resolve()))
    return (file for file in path.glob("*") if not file.name.startswith(".") and file.suffix.lower() in IMAGE_SUFFIXES)
