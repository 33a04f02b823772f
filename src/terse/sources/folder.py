"""A folder of images without annotations: backgrounds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from terse.config import InputPath
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["ImagesConfig", "read_folder"]


@register("source", "images")
class ImagesConfig(SourceConfig):
    """All images below a folder."""

    kind: Literal["images"] = "images"
    images: InputPath
    """The folder; the folders in it are read too."""

    def _read(self) -> Annotations:
        return read_folder(self.images)


def read_folder(folder: Path) -> Annotations:
    """The index of the images below a folder, sorted by path.

    Raises:
        DataError: no such folder, or a link that leads out of it.
    """
    from terse.sources.indexing import ImageEntry, Index
    from terse.sources.paths import existing_folder, image_files

    root = existing_folder("images", folder)
    index = Index(root.name, root, ())
    index.add_images(ImageEntry(name, name) for name in image_files(root))
    return index.finish()
