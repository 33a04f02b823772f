"""GMU Kitchens: nine scenes filmed in kitchens, boxes of BigBIRD's objects in three folds (Georgakis et al. 2016).

Each scene, `gmu_scene_001` to `gmu_scene_009`, holds `Images` and VOC's XML in `Annotations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["GmuConfig"]

_SCENES = range(1, 10)
_Scene = Annotated[int, Field(ge=1, le=9)]


@register("source", "gmu")
class GmuConfig(SourceConfig):
    """The scenes that a fold of GMU Kitchens trains on, or those it is tested on."""

    keeps: ClassVar[bool] = True
    kind: Literal["gmu"] = "gmu"
    gmu: SourcePath
    """The folder that holds gmu_scene_001 to gmu_scene_009."""
    fold: Literal[1, 2, 3] = 1
    """Which of the paper's three splits of the nine scenes."""
    part: Literal["train", "test"] = "train"
    """Its test scenes, or all others."""
    test_scenes: tuple[tuple[_Scene, ...], tuple[_Scene, ...], tuple[_Scene, ...]] = ((2, 4, 5), (1, 3, 6), (7, 8, 9))
    """Of the three folds. Fold 1 is what published converters have; the authors' lists of the others could not be had, so
    these share out the remaining scenes in order: give the authors' own to compare with Table 3."""

    def _read(self) -> Annotations:
        from terse.sources.finder import existing_folder
        from terse.sources.voc import read_voc

        root = existing_folder("gmu", self.gmu)
        held = self.test_scenes[self.fold - 1]
        scenes = [f"gmu_scene_{i:03d}" for i in _SCENES if (i in held) == (self.part == "test")]
        folders = {path.name.casefold(): path.name for path in sorted(root.iterdir()) if path.is_dir()}
        there = [name for name in scenes if name in folders]
        if not there:
            raise DataError(f"gmu: expected {', '.join(scenes)} in {root}, got none of them; unpack the scenes there")
        missing = [name for name in scenes if name not in there]
        found = read_voc(root, [folders[name] for name in there])
        if not missing:
            return found
        from dataclasses import replace

        from terse.sources.annotations import Remark, RemarkKind

        text = f"{root.name}: scenes of fold {self.fold} that are not there: {', '.join(missing)}"
        return replace(found, remarks=(*found.remarks, Remark(RemarkKind.DOUBT, text)))
