"""Photographs of one thing each, in a folder for each class, without boxes: what a classifier learns from."""

from __future__ import annotations

from typing import ClassVar, Literal

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.annotations import Annotations
from terse.sources.finder import existing_folder, image_files
from terse.sources.indexing import ImageEntry, Index
from terse.sources.selection import SourceConfig

__all__ = ["ClassFoldersConfig"]


@register("source", "class_folders")
class ClassFoldersConfig(SourceConfig):
    """A folder with a folder of photographs for each class; the class is the whole image's."""

    keeps: ClassVar[bool] = True
    kind: Literal["class_folders"] = "class_folders"
    class_folders: SourcePath
    """The folder that holds the classes' folders."""

    def _read(self) -> Annotations:
        root = existing_folder("class_folders", self.class_folders)
        names = list(image_files(root))
        loose = next((name for name in names if "/" not in name), None)
        if loose is not None or not names:
            got = f"{loose} beside them" if loose is not None else "no image in any"
            raise DataError(f"class_folders: expected a folder of images for each class in {root}, got {got}")
        owners = {name: name.split("/", 1)[0] for name in names}
        index = Index(root.name, root, sorted({*owners.values()}))
        numbers = index.add_images(ImageEntry(name, name) for name in names)
        for name, number in zip(names, numbers, strict=True):
            if number is not None:
                index.add_object(number, owners[name], (0, 0, *index.size_px(number)), name, "0")
        return index.finish()
