"""What every exporter is given: one encoded image and what is true of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from terse.config import Component

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float32

    from terse.compositing.raster import Drawn
    from terse.sources.annotations import Skeleton

__all__ = [
    "ExportConfig",
    "Exporter",
    "Labelled",
    "Sample",
    "SetInfo",
    "ShardWriter",
    "keypoints_of",
    "write_bytes",
]


@dataclass(frozen=True, slots=True)
class Labelled:
    """One object that is at least partly visible.

    `box_px` is half-open xyxy and tight around the modal mask. `modal` is None where only a box is known.
    `ignore` marks what counts neither as right nor as wrong: below the visibility floor, difficult, or a crowd.
    """

    label: int
    box_px: tuple[float, float, float, float]
    modal: Drawn | None
    amodal: Drawn | None
    visible_fraction: float
    z: int
    pasted: bool
    ignore: bool = False
    crowd: bool = False
    source: str = ""
    keypoints: Float32[np.ndarray, "k 3"] | None = None  # x and y in pixels, and how visible: 0, 1 (hidden) or 2

    def paint(self, canvas: np.ndarray, value: int) -> None:
        """Set the object's pixels: those of its modal mask, of its box where there is no mask."""
        if self.modal is None:
            x0, y0, x1, y1 = (round(edge) for edge in self.box_px)
            canvas[y0:y1, x0:x1] = value
        else:
            canvas[self.modal.window][self.modal.mask > 0] = value

    @property
    def area_px(self) -> float:
        """Pixels of the mask, of the box where there is no mask."""
        if self.modal is None:
            return (self.box_px[2] - self.box_px[0]) * (self.box_px[3] - self.box_px[1])
        return self.modal.seen_px


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of the set."""

    number: int
    data: bytes  # the encoded image
    size_px: tuple[int, int]  # width, height
    objects: Sequence[Labelled]
    background: str  # key
    licence: str
    blend: str
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SetInfo:
    """What holds for the whole set."""

    classes: tuple[str, ...]
    suffix: str  # of the images, with its dot
    masks: str = "auto"
    split: str = "train"  # train, or val: real images that judge
    has_val: bool = False  # whether the set has a val beside its train
    skeleton: Skeleton | None = None  # the objects' keypoints; None where the set has none

    def name(self, number: int) -> str:
        """An image's file name."""
        return f"{number:08d}{self.suffix}"


class ShardWriter(Protocol):
    """Writes one shard: images where they belong, labels into the shard's own folder."""

    def add(self, sample: Sample) -> None:
        """One image; samples come in the order of their numbers."""
        ...

    def close(self, *, whole: bool = True) -> None:
        """Everything is added; or not whole, and what is open is only let go."""
        ...


class Exporter(Protocol):
    """One format. A shard's files depend on its samples alone, so it may be made again by any worker.

    A set with a val is written in two parts, train first: `shard` and `assemble` get the folder and the `SetInfo` of
    each.
    """

    shard_images: int
    val_folder: str  # where val stands in the set, with its slash; "" where both splits share a folder
    image_folder: str  # where the images are, with its slash; "" where files are named by the shard's number

    def holding(self, number: int, names: Sequence[str]) -> Sequence[str]:
        """The files that hold the images of shard `number`, which have these names."""
        ...

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> ShardWriter:
        """A writer of shard `number`; `part` is its own empty folder."""
        ...

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Join the shards' parts, in order, in memory that does not grow with their number."""
        ...


class ExportConfig(Component["Exporter"]):
    """An exporter and its settings; a subclass has what `Exporter` asks for, or its `build` gives an object that has.

    Attributes:
        mask_forms: the forms of masks beside `auto` that the format holds; box is none.
    """

    image_folder: ClassVar[str]
    mask_forms: ClassVar[tuple[str, ...]] = ("rle", "polygon", "box")

    def holding(self, number: int, names: Sequence[str]) -> Sequence[str]:
        """Each image is a file of its own."""
        return [self.image_folder + name for name in names]

    def build(self) -> Exporter:
        """The exporter."""
        return self  # type: ignore[return-value]


def keypoints_of(item: Labelled, skeleton: Skeleton) -> list[list[float]]:
    """X, y and visibility of each point; 0 where the object has none."""
    points: list[list[float]] = [] if item.keypoints is None else item.keypoints.astype(float).tolist()
    return points + [[0.0, 0.0, 0.0]] * (skeleton.count - len(points))


def write_bytes(path: str, data: bytes) -> None:
    """A file; a fifth faster than Python's own objects for files, which ask the system more than the one write."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(file, left) :]
    finally:
        os.close(file)
