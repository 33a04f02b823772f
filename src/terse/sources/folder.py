"""A folder of images without annotations: backgrounds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from terse.config import SourcePath
from terse.registry import register
from terse.sources.annotations import Annotations, RemarkKind
from terse.sources.finder import existing_folder, image_files
from terse.sources.indexing import ImageEntry, Index
from terse.sources.selection import SourceConfig

__all__ = ["ImagesConfig", "read_folder"]

_SMALL_PX = 32
_IMAGES = frozenset({"jpegimages", "images"})
_MASKS = frozenset({"masks", "mask", "labels", "annotations"})


@register("source", "images")
class ImagesConfig(SourceConfig):
    """All images below a folder."""

    keeps: ClassVar[bool] = True
    kind: Literal["images"] = "images"
    images: SourcePath
    """The folder; the folders in it are read too."""

    def _read(self) -> Annotations:
        return read_folder(self.images)


def read_folder(folder: Path) -> Annotations:
    """The index of the images below a folder, sorted by path.

    Of a data set's folder these are its photographs: folders of masks beside those of images are passed over, and said.

    Raises:
        DataError: no such folder.
    """
    root = existing_folder("images", folder)
    index = Index(root.name, root, ())
    masks = list(_mask_folders(root))
    if masks:
        index.remark(RemarkKind.READ_AS, f"folders of masks are passed over: {', '.join(masks)}")
    numbers = index.add_images(ImageEntry(name, name) for name in image_files(root, without=masks))
    small = [index.path(i) for i in numbers if i is not None and min(index.size_px(i)) < _SMALL_PX]
    if small:
        text = f"{len(small):,} images are smaller than {_SMALL_PX} px, the first being {small[0]}: enlarged they are a blur"
        index.remark(RemarkKind.DOUBT, text)
    return index.finish()


def _mask_folders(root: Path) -> Iterator[str]:
    """The folders of masks that stand beside a folder of images, in root and in its folders, relative to root."""
    for here in ("", *(f"{name}/" for name in _folders_in(root))):
        names = _folders_in(root / here)
        if _IMAGES.isdisjoint(name.casefold() for name in names):
            continue
        for name in names:
            if name.casefold() in _MASKS or name.casefold().startswith("segmentation"):
                yield here + name


def _folders_in(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir())
