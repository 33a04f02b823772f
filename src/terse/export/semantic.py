"""Semantic segmentation: `images/`, `masks/` of class numbers, and `classes.txt`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from terse.errors import DataError
from terse.export.mask_formats import MOST_NUMBERS, paint, write_indices
from terse.export.sample import ExportConfig, Sample, SetInfo, write_bytes
from terse.registry import register

__all__ = ["SemanticExporter"]


@register("exporter", "semantic")
class SemanticExporter(ExportConfig):
    """One grey PNG of class numbers an image, as Cityscapes, ADE20K and MMSegmentation have them.

    A mask's pixel is the class's line in `classes.txt`, counted from 0, the background's.

    255 is not judged: objects to ignore, and the box of one without a mask.
    """

    kind: Literal["semantic"] = "semantic"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = "images/"
    mask_forms: ClassVar[tuple[str, ...]] = ()

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> _IndexMapWriter:
        """A writer of one shard.

        Raises:
            DataError: more classes than a byte can tell apart.
        """
        if len(info.classes) > MOST_NUMBERS:
            raise DataError(
                f"format: expected at most {MOST_NUMBERS} classes for semantic masks of 8 bits, got "
                f"{len(info.classes)}; name fewer by classes, or choose coco"
            )
        return _IndexMapWriter(out, info)

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Write the class names."""
        text = "".join(f"{name}\n" for name in ("background", *info.classes))
        (out / "classes.txt").write_text(text, "utf-8")


class _IndexMapWriter:
    def __init__(self, out: Path, info: SetInfo) -> None:
        self._info = info
        self._images, self._masks = out / "images", out / "masks"
        self._images.mkdir(exist_ok=True)
        self._masks.mkdir(exist_ok=True)

    def add(self, sample: Sample) -> None:
        """Write the image and its mask."""
        name = self._info.name(sample.number)
        write_bytes(f"{self._images}/{name}", sample.data)
        write_indices((self._masks / name).with_suffix(".png"), paint(sample)[0], coloured=False)

    def close(self, *, whole: bool = True) -> None:
        """Each file is written whole; none is open."""
