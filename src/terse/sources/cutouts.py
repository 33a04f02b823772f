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
from terse.sources.finder import existing_folder, files_of_kind
from terse.sources.indexing import ImageEntry, Index
from terse.sources.masks import FileMask, draw_mask
from terse.sources.selection import SourceConfig

__all__ = ["CutoutsConfig", "innermost", "outermost", "read_cutouts"]

_READERS = 4
_MASK_ONLY = (".pbm",)
_HALF = 127
_MARK = "_mask"  # at the end of a mask's name
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
    class_of: Callable[[str], str] | None = None,
) -> Annotations:
    """The index of a folder of cut-outs, of those whose path `keep` wants. Masks are looked at once, for their boxes.

    `class_of` gives the class by the path; by default it is the outer folder, or the inner one where all outer ones hold
    folders alone.

    Raises:
        DataError: no such folder, no class folder in it, or a link that leads out of it.
    """
    root = existing_folder("cutouts", folder)
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise DataError(f"cutouts: expected a folder for each class, got none in {root}; move the images into one")
    apart = [name for name in folders if name.lower() in (*_IMAGES, *_MASKS)]
    if {name.lower() in _MASKS for name in apart} == {True, False}:
        raise DataError(
            f"cutouts: expected a folder for each class, got {' and '.join(apart)} in {root}; move both into a folder with the "
            "class's name"
        )
    pairs = [pair for pair in _pairs(root, folders) if keep is None or keep(pair[0])]
    images = [image for image, _ in pairs]
    owners = _classes_of(images) if class_of is None else {image: class_of(image) for image in images}
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
    held = set(map(outermost, kept.paths))
    empty = [name for name in folders if name not in held]
    if empty:
        text = f"{root.name}: folders without a usable cut-out are no classes: {', '.join(empty)}"
        kept = replace(kept, remarks=(*kept.remarks, Remark(RemarkKind.READ_AS, text)))
    return kept.with_classes([name for name, count in kept.count_classes().items() if count])


def _pairs(root: Path, classes: list[str]) -> Iterator[tuple[str, str | None]]:
    """Each image with its mask file; None where the image has to have an alpha channel."""
    for name in classes:
        stems: dict[str, list[str]] = {}
        for file in files_of_kind(root, name, {*IMAGE_SUFFIXES, *_MASK_ONLY}):
            stems.setdefault(_stem(file), []).append(file)
        for files in _joined(stems):
            images = sorted(files, key=_likely_mask)
            if Path(images[0]).suffix.lower() not in _MASK_ONLY:
                yield images[0], images[-1] if len(images) > 1 else None


def _stem(file: str) -> str:
    """What a photograph and its mask have in common."""
    stem = _without_kind(Path(file).with_suffix("")).as_posix()
    return stem[: -len(_MARK)] if stem.lower().endswith(_MARK) else stem


def _joined(stems: dict[str, list[str]]) -> Iterator[list[str]]:
    """The files of each stem, with a lone photograph the lone mask whose stem differs from its own in case alone."""
    alike: dict[str, list[list[str]]] = {}
    for stem, files in stems.items():
        alike.setdefault(stem.casefold(), []).append(files)
    for groups in alike.values():
        files = [file for group in groups for file in group]
        if len(groups) == len(files) == 2 and sum(map(_is_mask, files)) == 1:
            yield files
        else:
            yield from groups


def _without_kind(path: Path) -> Path:
    """The path without a last folder that tells photographs from masks: `cup/images/a` and `cup/masks/a` belong together."""
    parent = path.parent
    return parent.parent / path.name if _kind(path) in (*_IMAGES, *_MASKS) else path


def _kind(path: Path) -> str:
    """The folder that a file lies in, in a class's folder; none is a class's own."""
    return path.parent.name.lower() if len(path.parts) > 2 else ""


def _classes_of(images: Sequence[str]) -> dict[str, str]:
    """The class of each image: its outer folder, or the inner one where all outer folders hold folders alone.

    `cup/a.png` and `cup/day/a.png` are cups. Where `food/cup` and `food/plate` lie in each `food`, these are the classes.
    """
    inner = {_without_kind(Path(image)).parent.parts[:2] for image in images}
    deep = all(len(parts) > 1 for parts in inner) and len(inner) > len({parts[0] for parts in inner})
    return {image: _without_kind(Path(image)).parts[1] if deep else outermost(image) for image in images}


def outermost(image: str) -> str:
    """The class's folder where all lie side by side, however deep the images lie in them."""
    return Path(image).parts[0]


def innermost(image: str) -> str:
    """The folder that holds the image, or its folders of photographs and masks."""
    return _without_kind(Path(image)).parent.name


def _is_mask(file: str) -> bool:
    path = Path(file)
    return path.suffix.lower() in _MASK_ONLY or path.stem.lower().endswith(_MARK) or _kind(path) in _MASKS


def _likely_mask(file: str) -> tuple[bool, bool, bool]:
    """Orders the files of one stem: the photograph first, what can be nothing but a mask last."""
    suffix = Path(file).suffix.lower()
    return suffix in _MASK_ONLY, _is_mask(file), suffix not in (".jpg", ".jpeg")


def _look(
    root: Path, image: str, mask_file: str | None, size_px: tuple[int, int], object_is: Literal["auto", "dark", "light"]
) -> tuple[FileMask, tuple[int, int, int, int] | None] | str:
    """The mask of a cut-out and its box; a sentence where it cannot be read."""
    from terse.sources.masks import box_of

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
