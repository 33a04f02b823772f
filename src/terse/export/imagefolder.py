"""Hugging Face `datasets`: `images/`, `metadata.jsonl` and a data card, as its ImageFolder loader reads them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from terse.export.coco import annotation_of
from terse.export.sample import ExportConfig, Labelled, Sample, SetInfo, write_bytes
from terse.folders import replacing
from terse.registry import register

__all__ = ["ImageFolderExporter"]

_METADATA = "metadata.jsonl"
_NOT_JUDGED = -1.0  # a float in every line: the loader refuses splits whose columns, or types of them, differ
_json = json.JSONEncoder(ensure_ascii=False).encode


@register("exporter", "imagefolder")
class ImageFolderExporter(ExportConfig):
    """One line of JSON an image; `load_dataset("SET")` gives a column for each of its keys, and the image.

    `objects` holds lists with an entry an object: `bbox` (x, y, width, height in pixels), `categories` (the class's line
    in `classes.txt`, from 0), `area`, `iscrowd`, `visible_fraction`, `pasted`, `segmentation` (COCO's run lengths, empty
    where an object has no mask; outlines for `masks: polygon`, the box's there) and `keypoints` where the set has some.

    `hardness` is -1 where no target has judged the image.

    The folder's `README.md` is the data card, which tells the loader where train and validation are.
    """

    kind: Literal["imagefolder"] = "imagefolder"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = "images/"

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> _MetadataWriter:
        """A writer of one shard."""
        return _MetadataWriter(out, part, info)

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Join the shards' lines; write the data card and the class names beside train."""
        with replacing(out / _METADATA) as joined:
            for part in parts:
                with (part / _METADATA).open("rb") as lines:
                    shutil.copyfileobj(lines, joined)
        if info.split == "train":
            (out / "README.md").write_text(_card(info, self.val_folder), "utf-8")
            (out / "classes.txt").write_text("".join(f"{name}\n" for name in info.classes), "utf-8")


class _MetadataWriter:
    def __init__(self, out: Path, part: Path, info: SetInfo) -> None:
        self._info, self._images = info, out / "images"
        self._images.mkdir(exist_ok=True)
        self._lines = (part / _METADATA).open("w", encoding="utf-8", newline="\n")

    def add(self, sample: Sample) -> None:
        """Write the image and its line."""
        name = self._info.name(sample.number)
        write_bytes(f"{self._images}/{name}", sample.data)
        width, height = sample.size_px
        row = {
            "file_name": f"images/{name}",
            "image_id": sample.number,
            "width": width,
            "height": height,
            "real": False,
            "background": sample.background,
            "blend": sample.blend,
            "license": sample.licence,
            "hardness": _NOT_JUDGED,
            **sample.extra,
            "objects": _columns([_entry(item, sample, self._info) for item in sample.objects], self._info),
        }
        self._lines.write(_json(row) + "\n")

    def close(self, *, whole: bool = True) -> None:
        """Everything is added."""
        self._lines.close()


def _entry(item: Labelled, sample: Sample, info: SetInfo) -> dict[str, Any]:
    """COCO's annotation with one type a key, which Arrow asks for."""
    told = annotation_of(item, sample.number, sample.size_px, info)
    return {
        "bbox": [float(edge) for edge in told["bbox"]],
        "categories": item.label,
        "area": float(told["area"]),
        "iscrowd": told["iscrowd"],
        "visible_fraction": float(told["visible_fraction"]),
        "pasted": told["pasted"],
        "segmentation": _mask(told.get("segmentation"), item, sample.size_px, info.masks),
        "keypoints": [float(number) for number in told.get("keypoints", ())],
    }


def _mask(segmentation: Any, item: Labelled, size_px: tuple[int, int], masks: str) -> Any:
    """Outlines, or run lengths; never null, which is another type to Arrow."""
    if masks == "polygon":
        x0, y0, x1, y1 = item.box_px
        rings = segmentation if isinstance(segmentation, list) else [[x0, y0, x1, y0, x1, y1, x0, y1]]
        return [[float(number) for number in ring] for ring in rings]
    return segmentation or {"size": [size_px[1], size_px[0]], "counts": ""}


def _columns(entries: Sequence[dict[str, Any]], info: SetInfo) -> dict[str, list[Any]]:
    """A list a key; the keys are the same in all images."""
    names = ["bbox", "categories", "area", "iscrowd", "visible_fraction", "pasted"]
    names += ["segmentation"] if info.masks != "box" else []
    names += ["keypoints"] if info.skeleton is not None else []
    return {name: [entry[name] for entry in entries] for name in names}


def _card(info: SetInfo, val_folder: str) -> str:
    """`README.md`: a data card; the hub shows it, and the loader reads the head."""
    splits = {"train": "", **({"validation": val_folder} if info.has_val else {})}
    places = "".join(
        f'  - split: {split}\n    path: ["{folder}{_METADATA}", "{folder}images/*"]\n'
        for split, folder in splits.items()
    )
    return (
        "---\ntask_categories: [object-detection]\nconfigs:\n- config_name: default\n  data_files:\n"
        f"{places}---\n\n# Composites made by terse\n\n"
        "`objects.bbox` is x, y, width and height in pixels; `objects.categories` counts the lines of `classes.txt` from 0.\n"
        "Sources, poses and licences of each composite are in `placements.parquet`, counts in `manifest.json`.\n"
    )
