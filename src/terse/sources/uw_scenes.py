"""UW RGB-D scenes: frames of rooms to paste on, in both editions' layouts (Lai et al. 2011, 2014).

`background/background_1/background_1_36.png` beside its `_depth.png`, or `imgs/scene_01/00036-color.png` beside its
`-depth.png`; depth is passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from terse.config import Count, SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["UwScenesConfig"]

_DEPTH = ("_depth", "-depth")


@register("source", "uw_scenes")
class UwScenesConfig(SourceConfig):
    """Colour frames without annotations: backgrounds."""

    keeps: ClassVar[bool] = True
    kind: Literal["uw_scenes"] = "uw_scenes"
    uw_scenes: SourcePath
    """The folder of a set; the folders in it are read too."""
    scenes: tuple[str, ...] | None = None
    """Only frames in folders of these names: `[background]` holds no objects; null takes all."""
    every: Count = 1
    """Of each folder only every so many frames: neighbours show the same."""

    def _read(self) -> Annotations:
        from itertools import groupby
        from pathlib import PurePosixPath

        from terse.sources.annotations import RemarkKind
        from terse.sources.finder import existing_folder, image_files
        from terse.sources.indexing import ImageEntry, Index

        root = existing_folder("uw_scenes", self.uw_scenes)
        paths = [PurePosixPath(name) for name in image_files(root)]
        colour = [path for path in paths if not path.stem.lower().endswith(_DEPTH)]
        asked = {name.casefold() for name in self.scenes or ()}
        folders = {path: {part.casefold() for part in path.parts[:-1]} for path in colour}
        wanted = [path for path in colour if self.scenes is None or not asked.isdisjoint(folders[path])]
        frames = [path for _, of in groupby(wanted, lambda path: path.parent) for path in list(of)[:: self.every]]
        if not frames:
            among = f" in {', '.join(self.scenes)}" if self.scenes else ""
            raise DataError(f"uw_scenes: expected colour frames{among} in {root}, got none among {len(paths)} images")
        index = Index(root.name, root, ())
        held = set().union(*folders.values())
        missing = [name for name in self.scenes or () if name.casefold() not in held]
        if missing:
            index.remark(RemarkKind.DOUBT, f"scenes that are not there: {', '.join(missing)}")
        index.add_images(ImageEntry(path.as_posix(), path.as_posix()) for path in frames)
        return index.finish()
