"""Hugging Face `datasets`: `images/`, `metadata.parquet` and a data card, as its ImageFolder loader reads them.

Parquet, because the loader refuses splits whose columns differ in type: of lines of JSON it guesses the types, and of a
split without an object it cannot.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from terse.export.coco import annotation_of
from terse.export.sample import ExportConfig, Labelled, Sample, SetInfo, write_bytes
from terse.folders import replacing
from terse.registry import register

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ImageFolderExporter"]

_METADATA, _LINES = "metadata.parquet", "metadata.jsonl"
_NOT_JUDGED = -1.0  # a number, which no null is to all readers
_json = json.JSONEncoder(ensure_ascii=False).encode


@register("exporter", "imagefolder")
class ImageFolderExporter(ExportConfig):
    """One row an image; `load_dataset("SET")` gives its columns, and the image.

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
        """Join the shards' rows; write the data card and the class names beside train."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema(info)
        with replacing(out / _METADATA) as joined, pq.ParquetWriter(joined, schema) as table:
            for part in parts:
                with (part / _LINES).open(encoding="utf-8", newline="\n") as lines:
                    table.write_table(pa.Table.from_pylist([json.loads(line) for line in lines], schema))
        if info.split == "train":
            (out / "README.md").write_text(_card(info, self.val_folder), "utf-8")
            (out / "classes.txt").write_text("".join(f"{name}\n" for name in info.classes), "utf-8")


class _MetadataWriter:
    def __init__(self, out: Path, part: Path, info: SetInfo) -> None:
        self._info, self._images = info, out / "images"
        self._images.mkdir(exist_ok=True)
        self._lines = (part / _LINES).open("w", encoding="utf-8", newline="\n")

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
    """COCO's annotation in the types of `_schema`."""
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
    """Outlines, or run lengths; never null."""
    if masks == "polygon":
        x0, y0, x1, y1 = item.box_px
        rings = segmentation if isinstance(segmentation, list) else [[x0, y0, x1, y0, x1, y1, x0, y1]]
        return [[float(number) for number in ring] for ring in rings]
    return segmentation or {"size": [size_px[1], size_px[0]], "counts": ""}


def _schema(info: SetInfo) -> pa.Schema:
    """The columns of a row, whatever the split holds."""
    import pyarrow as pa

    number, whole, text, truth = pa.float64(), pa.int64(), pa.string(), pa.bool_()
    runs = pa.struct([("size", pa.list_(whole)), ("counts", text)])
    of_object = {
        "bbox": pa.list_(number),
        "categories": whole,
        "area": number,
        "iscrowd": whole,
        "visible_fraction": number,
        "pasted": truth,
        "segmentation": pa.list_(pa.list_(number)) if info.masks == "polygon" else runs,
        "keypoints": pa.list_(number),
    }
    objects = pa.struct([(name, pa.list_(of_object[name])) for name in _columns([], info)])
    return pa.schema(
        {
            "file_name": text,
            "image_id": whole,
            "width": whole,
            "height": whole,
            "real": truth,
            "background": text,
            "blend": text,
            "license": text,
            "hardness": number,
            "objects": objects,
        }
    )


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
