"""BigBIRD: objects on a turntable, seen by five cameras every three degrees, each view with a mask (Singh et al. 2014).

A folder for each object holds `NP<camera>_<degrees>.jpg`, and beside them or in `masks` the PBM masks, black on the object;
Cut, Paste and Learn keeps the same files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from terse.config import SourcePath
from terse.errors import DataError
from terse.registry import register
from terse.sources.selection import SourceConfig

if TYPE_CHECKING:
    from terse.sources.annotations import Annotations

__all__ = ["BigBirdConfig", "view_of"]

_VIEW = re.compile(r"NP(\d)_(\d{1,3})", re.IGNORECASE)


@register("source", "bigbird")
class BigBirdConfig(SourceConfig):
    """BigBIRD's views of objects, a class each; what has no mask or is no view is left out."""

    keeps: ClassVar[bool] = True
    kind: Literal["bigbird"] = "bigbird"
    bigbird: SourcePath
    """The folder that holds the objects' folders, or folders of these."""
    cameras: tuple[Annotated[int, Field(ge=1, le=5)], ...] | None = None
    """Only views of these cameras: 1 looks from the side, 5 from above; null takes all."""
    every_deg: Annotated[int, Field(ge=1, le=360)] = 1
    """Only views at turntable angles that this divides; the set has one every 3 degrees."""

    def _read(self) -> Annotations:
        from terse.sources.cutouts import innermost, read_cutouts

        found = read_cutouts(self.bigbird, keep=self._wants, class_of=innermost)
        if not len(found):
            raise DataError(
                f"bigbird: expected views named NP<camera>_<degrees>.jpg with masks in {self.bigbird}, got none"
                f"{' of the cameras and angles asked for' if self.cameras or self.every_deg > 1 else ''}"
            )
        return found

    def _wants(self, path: str) -> bool:
        view = view_of(path)
        if view is None:
            return False
        camera, degrees = view
        return (self.cameras is None or camera in self.cameras) and degrees % self.every_deg == 0


def view_of(path: str) -> tuple[int, int] | None:
    """Camera and turntable angle in degrees of a view by its file's name; None for other files."""
    match = _VIEW.fullmatch(Path(path).stem)
    return None if match is None else (int(match[1]), int(match[2]))
