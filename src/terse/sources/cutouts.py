"""Objects already cut out: a folder for each class, in it RGBA images, or photographs each with a mask file.

Masks stand beside their photographs, or in `masks` beside `images`. The second is the layout of Cut, Paste and Learn
(Dwibedi et al. 2017), whose PBM masks are black on the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations, Cause, Remark, RemarkKind
from terse.sources.decode import IMAGE_SUFFIXES
from terse.sources.finder import existing_folder, inside
from terse.sources.indexing import ImageEntry, Index
from terse.sources.masks import FileMask, draw_mask
from terse.sources.selection import SourceConfig

__all__ = ["CutoutsConfig", "read_cutouts"]

_READERS = 4
_MASK_ONLY = (".pbm",)
_HALF = 127
_IMAGES, _MASKS = ("image", "images"), ("mask", "masks")  # folders in a class's folder


@register("source", "cutouts")
class CutoutsConfig(SourceConfig):
    """A folder with a folder of cut-outs for each class."""

    keeps: ClassVar[bool] = True
    kind: Literal["cutouts"] = "cutouts"
    cutouts: SourcePath
    """The folder that holds the classes' folders."""
    object_is: Literal["auto", "dark", "light"] = "auto"
    """The object's pixels in a mask file: auto takes the dark ones of a PBM and the light ones of any other."""

    def _read(self) -> Annotations:
        return read_cutouts(self.cutouts, self.object_is)


def read_cutouts(
    folder: Path,
    object_is: Literal["auto", "dark", "light"] = "auto",
    keep: Callable[[str], bool] | None = None,
) -> Annotations:
    """The index of a folder of cut-outs, of those whose path `keep` wants. Masks are looked at once, for their boxes.

    Raises:
        DataError: no such folder, no class folder in it, or a link that leads out of it.
    """
    root = existing_folder("cutouts", folder)
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(f"cutouts: expected a folder for each class, got none in {root}; move the images into one")
    pairs = [pair for pair in _pairs(root, folders) if keep is None or keep(pair[0])]
    owners = _classes_of([image for image, _ in pairs])
    index = Index(root.name, root, sorted({*owners.values()}))
    numbers = index.add_images(ImageEntry(image, image) for image, _ in pairs)
    known = [(number, mask) for number, (_, mask) in zip(numbers, pairs, strict=True) if number is not None]

    def look(item: tuple[int, str | None]) -> tuple[FileMask, tuple[int, int, int, int] | None] | str:
        number, mask_file = item
        return _look(root, index.path(number), mask_file, index.size_px(number), object_is)

    with ThreadPoolExecutor(_READERS) as pool:
        for (number, _), found in zip(known, pool.map(look, known), strict=True):
            name = index.path(number)
            if isinstance(found, str):
                index.skip_sentence(found)
            elif found[1] is None:
                reason = "expected a mask with an object in it, got an empty one; it is left out"
                index.skip(found[0].path, reason, Cause.MASK)
            else:
                index.add_object(number, owners[name], found[1], name, "0", mask=found[0])
    made = index.finish(cut_outs=True)
    # An image without its object is no cut-out: unlike a photograph, it is no background either.
    holds = [bool(len(made.objects_of(i))) for i in range(len(made))]
    kept = made.keep_images(np.array(holds, dtype=np.bool_))
    empty = [name for name in folders if not any(path.startswith(f"{name}/") for path in kept.paths)]
    if empty:
        text = f"{root.name}: folders without a usable cut-out are no classes: {', '.join(empty)}"
        kept = replace(kept, remarks=(*kept.remarks, Remark(RemarkKind.READ_AS, text)))
    return kept.with_classes([name for name, count in kept.count_classes().items() if count])


def _pairs(root: Path, classes: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each image with its mask file; None where the image has to have an alpha channel."""
    for name in classes:
        stems: dict[str, list[str]] = {}
        for path in sorted((root / name).rglob("*")):
            if path.suffix.lower() in {*IMAGE_SUFFIXES, *_MASK_ONLY} and not path.name.startswith("."):
                relative = inside(root, path.relative_to(root).as_posix(), str(root))
                stem = _without_kind(Path(relative).with_suffix("")).as_posix().removesuffix("_mask")
                stems.setdefault(stem, []).append(relative)
        for files in stems.values():
            images = sorted(files, key=_likely_mask)
            if Path(images[0]).suffix.lower() not in _MASK_ONLY:
                yield images[0], images[1] if len(images) > 1 else None


def _without_kind(path: Path) -> Path:
    """The path without a last folder that tells photographs from masks: `cup/images/a` and `cup/masks/a` belong together."""
    parent = path.parent
    return parent.parent / path.name if parent.name.lower() in (*_IMAGES, *_MASKS) else path


def _classes_of(images: Sequence[str]) -> dict[str, str]:
    """The class of each image: its outer folder, or the inner one where all outer folders hold folders alone.

    `cup/a.png` and `cup/day/a.png` are cups. Where `food/cup` and `food/plate` lie in each `food`, these are the classes.
    """
    folders = {image: _without_kind(Path(image)).parent.parts for image in images}
    inner = {parts[:2] for parts in folders.values()}
    deep = all(len(parts) > 1 for parts in inner) and len(inner) > len({parts[0] for parts in inner})
    return {image: parts[1] if deep else parts[0] for image, parts in folders.items()}


def _likely_mask(file: str) -> tuple[bool, bool, bool]:
    """Orders the files of one stem: the photograph first."""
    path = Path(file)
    suffix = path.suffix.lower()
    mask = path.stem.endswith("_mask") or path.parent.name.lower() in _MASKS
    return suffix in _MASK_ONLY, mask, suffix not in (".jpg", ".jpeg")


def _look(
    root: Path, image: str, mask_file: str | None, size_px: tuple[int, int], object_is: Literal["auto", "dark", "light"]
) -> tuple[FileMask, tuple[int, int, int, int] | None] | str:
    """The mask of a cut-out and its box; a sentence where it cannot be read."""
    from terse.sources.patches import box_of

    if mask_file is None:
        mask = FileMask(image, "alpha")
    elif object_is == "auto":
        mask = FileMask(mask_file, "dark" if Path(mask_file).suffix.lower() in _MASK_ONLY else "light")
    else:
        mask = FileMask(mask_file, object_is)
    try:
        return mask, box_of((draw_mask(mask, root, size_px) > _HALF).astype(np.uint8))
    except DataError as error:
        return str(error)
