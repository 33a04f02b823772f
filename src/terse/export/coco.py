"""COCO JSON: `images/` and `annotations.json`, assembled from the shards' parts as a stream."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from terse.export.mask_formats import runs_of_box, runs_of_region
from terse.export.sample import ExportConfig, Labelled, Sample, SetInfo, keypoints_of, write_bytes
from terse.folders import replacing
from terse.registry import register

if TYPE_CHECKING:
    from terse.compositing.raster import Drawn
    from terse.sources.annotations import Skeleton

__all__ = ["CocoExporter", "annotation_of"]

_TOGETHER = 16
_json = json.JSONEncoder(ensure_ascii=False).encode  # `dumps` makes a new encoder at every call


@register("exporter", "coco")
class CocoExporter(ExportConfig):
    """Lin et al. 2014: one JSON file for all images.

    Masks are run lengths, which are exact; `masks: polygon` writes outlines, `masks: box` none.

    Ids are given at assembly, in order, so a shard's part does not depend on the others. Beside COCO's own
    fields an annotation has `visible_fraction`, `z`, `pasted`, and `amodal_bbox` with `amodal_segmentation`
    where something covers the object. Objects to ignore have `iscrowd` at 1, all that COCO's own tools know, and
    `ignore`, which MMDetection leaves out by; `masks: polygon` is without `ignore`, which detectron2 refuses.
    """

    kind: Literal["coco"] = "coco"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = "images/"

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> _CocoWriter:
        """A writer of one shard."""
        return _CocoWriter(out, part, info)

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Stream the parts into `annotations.json`."""
        with replacing(out / "annotations.json") as stream:
            file = io.TextIOWrapper(stream, "utf-8", newline="\n")
            licences = sorted({name for part in parts for name in _lines(part / "licences.txt")})
            ids = {name: i for i, name in enumerate(licences, 1)}
            points = {} if info.skeleton is None else _described(info.skeleton)
            categories = [{"id": i, "name": name, **points} for i, name in enumerate(info.classes, 1)]
            listed = [{"id": i, "name": name, "url": ""} for name, i in ids.items()]
            about = {"description": "composites made by terse", "version": "1"}
            file.write(f'{{"info": {_json(about)},\n"licenses": {_json(listed)},\n')
            file.write(f'"categories": {_json(categories)},\n"images": [')
            _write_all(
                file,
                (_licensed(line, ids) for part in parts for line in _lines(part / "images.jsonl")),
            )
            file.write('],\n"annotations": [')
            number = count(1)
            lines = (line for part in parts for line in _lines(part / "annotations.jsonl"))
            _write_all(file, (f'{{"id": {next(number)}, {line[1:]}' for line in lines))
            file.write("]}\n")
            file.detach()  # flushed; the stream stays open for the sync


class _CocoWriter:
    def __init__(self, out: Path, part: Path, info: SetInfo) -> None:
        self._info = info
        self._images = out / "images"
        self._images.mkdir(exist_ok=True)
        with ExitStack() as files:  # closes the first where the second cannot be opened
            self._image_lines, self._object_lines = (
                files.enter_context((part / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n"))
                for name in ("images", "annotations")
            )
            self._files = files.pop_all()
        self._licences: set[str] = set()
        self._part = part
        self._unlabelled: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Write the image; its two kinds of lines are written with those of others, one kind of work after the other."""
        write_bytes(f"{self._images}/{self._info.name(sample.number)}", sample.data)
        self._unlabelled.append(sample)
        if len(self._unlabelled) >= _TOGETHER:
            self._write_lines()

    def _write_lines(self) -> None:
        for sample in self._unlabelled:
            width, height = sample.size_px
            line: dict[str, Any] = {
                "id": sample.number,
                "file_name": self._info.name(sample.number),
                "width": width,
                "height": height,
            }
            if licence := sample.licence.replace("\n", " "):  # a line of the part's each
                line["license"] = licence
                self._licences.add(licence)
            line |= {"background": sample.background, "blend": sample.blend, **sample.extra}
            self._image_lines.write(_json(line) + "\n")
            for item in sample.objects:
                annotation = annotation_of(item, sample.number, sample.size_px, self._info)
                self._object_lines.write(_json(annotation) + "\n")
        self._unlabelled.clear()

    def close(self, *, whole: bool = True) -> None:
        """Everything is added."""
        with self._files:
            if whole:
                self._write_lines()
        (self._part / "licences.txt").write_text("".join(f"{name}\n" for name in sorted(self._licences)), "utf-8")


def annotation_of(item: Labelled, image: int, size_px: tuple[int, int], info: SetInfo) -> dict[str, Any]:
    """One annotation, its id left out."""
    crowd, masks = item.crowd or item.ignore, info.masks
    x0, y0, x1, y1 = item.box_px
    annotation: dict[str, Any] = {
        "image_id": image,
        "category_id": item.label + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": item.area_px,
        "iscrowd": int(crowd),
    }
    if masks != "box" and item.modal is not None:
        annotation["segmentation"] = _segmentation(item.modal, size_px, "rle" if crowd else masks)
    elif crowd:
        annotation["segmentation"] = runs_of_box(item.box_px, size_px)
    if item.ignore and masks != "polygon":  # detectron2 refuses the key; iscrowd says enough
        annotation["ignore"] = 1
    annotation |= {
        "visible_fraction": round(item.visible_fraction, 4),
        "z": item.z,
        "pasted": item.pasted,
    }
    if item.amodal is not None and item.amodal is not item.modal:
        height, width = item.amodal.mask.shape
        annotation["amodal_bbox"] = [item.amodal.left, item.amodal.top, width, height]
        if masks != "box":
            annotation["amodal_segmentation"] = runs_of_region(item.amodal, size_px)
    if info.skeleton is not None:
        points = keypoints_of(item, info.skeleton)
        annotation["keypoints"] = [number for x, y, seen in points for number in (round(x, 2), round(y, 2), int(seen))]
        annotation["num_keypoints"] = sum(seen > 0 for *_, seen in points)
    return annotation


def _described(skeleton: Skeleton) -> dict[str, Any]:
    """What a category says of its objects' keypoints; COCO's tools want a name for each."""
    names = skeleton.names or tuple(map(str, range(skeleton.count)))
    return {"keypoints": list(names), "skeleton": [list(pair) for pair in skeleton.lines]}


def _segmentation(region: Drawn, size_px: tuple[int, int], masks: str) -> Any:
    if masks != "polygon":
        return runs_of_region(region, size_px)
    from terse.export.mask_formats import outlines

    return [ring.reshape(-1).tolist() for ring in outlines(region)]


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\n")


def _licensed(line: str, ids: dict[str, int]) -> str:
    """Licences are named in the parts and numbered in the whole."""
    if '"license"' not in line:
        return line
    image = json.loads(line)
    if "license" in image:
        image["license"] = ids[image["license"]]
    return _json(image)


def _write_all(file: Any, items: Iterator[str]) -> None:
    for i, item in enumerate(items):
        file.write(",\n" if i else "\n")
        file.write(item)
