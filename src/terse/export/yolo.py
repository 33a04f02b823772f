"""YOLO text: `images/`, `labels/` and `data.yaml`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from terse.export.sample import ExportConfig, Labelled, Sample, SetInfo, write_bytes
from terse.registry import register

__all__ = ["YoloExporter", "YoloWriter", "box_numbers", "label_line", "names_of", "places"]


@register("exporter", "yolo")
class YoloExporter(ExportConfig):
    """One text file an image; coordinates are fractions of its size.

    `masks: box` writes detection labels, `auto` and `polygon` outlines, from which trainers take boxes too.

    An object in parts, or with holes, is one outline joined by slits of no width. In a file of outlines an
    object without a mask is its box's four corners: readers take every line of such a file for an outline.
    Objects to ignore are left out, because the format has no word for them.
    """

    kind: Literal["yolo"] = "yolo"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = "images/"
    mask_forms: ClassVar[tuple[str, ...]] = ("polygon", "box")

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> YoloWriter:
        """A writer of one shard."""
        return YoloWriter(out, info, partial(_line, masks=info.masks))

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Write `data.yaml`, which trainers read first."""
        if info.split == "train":
            (out / "data.yaml").write_text(f"{places(info, self.val_folder)}{names_of(info.classes)}", "utf-8")


class YoloWriter:
    """Writes images and their label files.

    Args:
        out: the folder of the split.
        info: of the set.
        line: what a label file says of an object in an image of this width and height.
    """

    def __init__(self, out: Path, info: SetInfo, line: Callable[[Labelled, tuple[int, int]], str]) -> None:
        self._info, self._line = info, line
        self._images, self._labels = out / "images", out / "labels"
        self._images.mkdir(exist_ok=True)
        self._labels.mkdir(exist_ok=True)

    def add(self, sample: Sample) -> None:
        """Write the image and its label file, which is empty where there are no objects."""
        name = self._info.name(sample.number)
        write_bytes(f"{self._images}/{name}", sample.data)
        lines = [self._line(item, sample.size_px) for item in sample.objects if not _left_out(item)]
        (self._labels / name).with_suffix(".txt").write_text("".join(lines), "utf-8")

    def close(self, *, whole: bool = True) -> None:
        """Each file is written whole; none is open."""


def places(info: SetInfo, val_folder: str) -> str:
    """Where `data.yaml` says that train and val are."""
    note = "# val is the training set: put your own real images there before you trust a number.\n"
    if info.has_val:
        return f"train: images\nval: {val_folder}images\n"
    return f"{note}train: images\nval: images\n"


def names_of(classes: Sequence[str]) -> str:
    """The classes as `data.yaml` names them.

    Quoted each: trainers read YAML 1.1, which makes `no` false, `1_0` ten and `12:30` a number of minutes.
    """
    return "names:\n" + "".join(f"  {i}: {json.dumps(name, ensure_ascii=False)}\n" for i, name in enumerate(classes))


def _left_out(item: Labelled) -> bool:
    return item.ignore or item.crowd


def _line(item: Labelled, size_px: tuple[int, int], masks: str) -> str:
    width, height = size_px
    x0, y0, x1, y1 = item.box_px
    if masks == "box":
        numbers = box_numbers(item, size_px)
    elif item.modal is None:
        numbers = [
            x0 / width,
            y0 / height,
            x1 / width,
            y0 / height,
            x1 / width,
            y1 / height,
            x0 / width,
            y1 / height,
        ]
    else:
        from terse.export.mask_formats import one_outline, outlines

        ring = one_outline(outlines(item.modal)) / (width, height)
        numbers = ring.reshape(-1).tolist()
    return label_line(item.label, numbers)


def box_numbers(item: Labelled, size_px: tuple[int, int]) -> list[float]:
    """Centre, width and height of the box as fractions of the image's."""
    width, height = size_px
    x0, y0, x1, y1 = item.box_px
    return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]


def label_line(label: int, numbers: Sequence[float]) -> str:
    """A line of a label file."""
    return f"{label} " + " ".join(f"{number:.7g}" for number in numbers) + "\n"
