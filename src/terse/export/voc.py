"""Pascal VOC: `VOCdevkit/VOC2012`, laid out as the development kit is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal
from xml.sax.saxutils import escape

from terse.errors import DataError
from terse.export.mask_formats import MOST_NUMBERS, paint, write_indices
from terse.export.sample import ExportConfig, Labelled, Sample, SetInfo, write_bytes
from terse.registry import register

__all__ = ["VocExporter"]

_ROOT = Path("VOCdevkit") / "VOC2012"
_LEAST_SEEN = 0.95  # of an object that is not occluded (VOC2011's guidelines)
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


@register("exporter", "voc")
class VocExporter(ExportConfig):
    """Everingham et al. 2010: an XML file an image, masks as palette PNGs.

    XML with boxes from 1, both ends included; class and instance PNGs; lists for the image sets.

    `occluded` is what something covers by more than a twentieth on the canvas, `truncated` what reaches the border.

    Objects to ignore are `difficult`, and 255 in the PNGs; so are objects without a mask, whose pixels are not known.
    Instance numbers follow the order of the XML's objects; those after the 254th are 255 in SegmentationObject.
    """

    kind: Literal["voc"] = "voc"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = ""
    image_folder: ClassVar[str] = f"{_ROOT.as_posix()}/JPEGImages/"
    mask_forms: ClassVar[tuple[str, ...]] = ("box",)

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> _VocWriter:
        """A writer of one shard.

        Raises:
            DataError: more classes than a byte can tell apart, where masks are written.
        """
        if info.masks != "box" and len(info.classes) > MOST_NUMBERS:
            raise DataError(
                f"format: expected at most {MOST_NUMBERS} classes for VOC's masks of 8 bits, got {len(info.classes)}; "
                "name fewer by classes, set `masks` to box, or choose coco"
            )
        return _VocWriter(out, part, info)

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Write the lists of `ImageSets` and the class names."""
        root = out / _ROOT
        for folder, file in (
            ("Main", "main.txt"),
            ("Segmentation", "segmentation.txt"),
        ):
            (root / "ImageSets" / folder).mkdir(parents=True, exist_ok=True)
            for name in (f"{info.split}.txt", "trainval.txt"):
                mode = "a" if name == "trainval.txt" and info.split == "val" else "w"
                with (root / "ImageSets" / folder / name).open(mode, encoding="utf-8", newline="\n") as listed:
                    for part in parts:
                        listed.write((part / file).read_text("utf-8"))
        (root / "classes.txt").write_text("".join(f"{name}\n" for name in info.classes), "utf-8")


class _VocWriter:
    def __init__(self, out: Path, part: Path, info: SetInfo) -> None:
        self._info, self._part = info, part
        self._root = out / _ROOT
        self._images = self._root / "JPEGImages"
        self._names: list[str] = []
        self._masked: list[str] = []
        for folder in ("Annotations", "JPEGImages", "SegmentationClass", "SegmentationObject"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)

    def add(self, sample: Sample) -> None:
        """Write the image, its XML and its two PNGs."""
        name = self._info.name(sample.number)
        stem = Path(name).stem
        write_bytes(f"{self._images}/{name}", sample.data)
        text = _xml(sample, name, self._info)
        (self._root / "Annotations" / f"{stem}.xml").write_text(text, "utf-8")
        self._names.append(stem)
        if self._info.masks != "box":
            self._masked.append(stem)
            by_class, by_object = paint(sample)
            write_indices(self._root / "SegmentationClass" / f"{stem}.png", by_class, coloured=True)
            write_indices(self._root / "SegmentationObject" / f"{stem}.png", by_object, coloured=True)

    def close(self, *, whole: bool = True) -> None:
        """Write the shard's lists."""
        (self._part / "main.txt").write_text("".join(f"{name}\n" for name in self._names), "utf-8")
        (self._part / "segmentation.txt").write_text("".join(f"{name}\n" for name in self._masked), "utf-8")


def _xml(sample: Sample, name: str, info: SetInfo) -> str:
    width, height = sample.size_px
    objects = "".join(_object(item, info.classes[item.label], sample.size_px) for item in sample.objects)
    return (
        f"<annotation>\n\t<folder>VOC2012</folder>\n\t<filename>{name}</filename>\n"
        f"\t<source>\n\t\t<database>terse</database>\n\t\t<image>{_text(sample.background)}</image>\n\t</source>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>{int(info.masks != 'box')}</segmented>\n{objects}</annotation>\n"
    )


def _text(name: str) -> str:
    """A name as XML's text: a character that XML cannot hold becomes U+FFFD."""
    return escape(_NOT_XML.sub("\ufffd", name))


def _object(item: Labelled, name: str, size_px: tuple[int, int]) -> str:
    x0, y0, x1, y1 = item.box_px
    width, height = size_px
    (xmin, xmax), (ymin, ymax) = _from_one(x0, x1), _from_one(y0, y1)
    cut = x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height
    occluded = _seen_of_canvas(item) < _LEAST_SEEN
    corners = (("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax))
    box = "".join(f"\t\t\t<{key}>{value:.10g}</{key}>\n" for key, value in corners)
    return (
        f"\t<object>\n\t\t<name>{_text(name)}</name>\n\t\t<pose>Unspecified</pose>\n"
        f"\t\t<truncated>{int(cut)}</truncated>\n\t\t<occluded>{int(occluded)}</occluded>\n"
        f"\t\t<difficult>{int(item.ignore or item.crowd)}</difficult>\n\t\t<bndbox>\n{box}\t\t</bndbox>\n\t</object>\n"
    )


def _seen_of_canvas(item: Labelled) -> float:
    """The share of the object's pixels on the canvas that nothing covers; a box without a mask ends at the border."""
    if item.modal is None or item.amodal is None:
        return item.visible_fraction
    return item.modal.seen_px / max(1, item.amodal.seen_px)


def _from_one(low: float, high: float) -> tuple[float, float]:
    """Half-open edges as the first and last pixel inside, counted from 1; of what is thinner than a pixel one pixel."""
    if high - low < 1:
        low = max(high - 1, 0)
        high = low + 1
    return low + 1, high
