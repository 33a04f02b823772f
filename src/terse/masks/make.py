"""A mask for each box of a data set: shards of images on an executor, one small file each, then one COCO file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from jaxtyping import Bool, UInt8

from terse.compositing.raster import Drawn
from terse.errors import DataError, RunError
from terse.export.mask_formats import runs_of_region
from terse.folders import claim, locked, write_json
from terse.masks.score import Box, Scores, expected_iou, measure, shifted
from terse.masks.segmentation import (
    Segmentation,
    class_numbers,
    instance,
    is_own,
    read_segmentation,
    segmentation_files,
)
from terse.progress import Observer, heard_by
from terse.results import read_object
from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb
from terse.sources.masks import box_of
from terse.workers import Executor

__all__ = ["Cutter", "Made", "Masks", "make_masks", "region_of", "request_of"]

_FORMAT = 1
_FOUND_BY = "path"  # the rule for files in a given folder of segmentations; masks by another one are not gone on with
_SHARD_IMAGES = 8


class Cutter(Protocol):
    """Cuts objects out of a photograph by their boxes."""

    def cut(self, image: UInt8[np.ndarray, "h w 3"], boxes_px: Sequence[Box]) -> Sequence[Bool[np.ndarray, "h w"]]:
        """The mask of each box, the same at every call."""
        ...


@dataclass(frozen=True, slots=True)
class Made:
    """A mask that was made, and how far it can be trusted."""

    segmentation: dict[str, Any]  # COCO's compressed run lengths
    area_px: int
    source: str  # the cutter's name, or segmentation
    score: float | None = None  # of the cutter's; None where the mask was taken from a segmentation
    scores: Scores | None = None

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Made:
        """As `to_json` wrote it.

        Raises:
            ValueError, KeyError, TypeError or AttributeError: it did not.
        """
        from faster_coco_eval.core import mask as rle

        runs, area, source = line["segmentation"], int(line["area"]), str(line["source"])
        rle.decode({"size": runs["size"], "counts": runs["counts"].encode("ascii")})  # runs that do not fill it raise
        if "scores" not in line:
            return cls(runs, area, source)
        scores = Scores(**{name: float(value) for name, value in line["scores"].items()})
        return cls(runs, area, source, float(line["score"]), scores)

    def to_json(self) -> dict[str, Any]:
        """Fields of a COCO annotation."""
        told = {} if self.scores is None else {"score": self.score, "scores": self.scores.to_json()}
        return {"segmentation": self.segmentation, "area": self.area_px, "source": self.source, **told}


@dataclass(frozen=True, slots=True)
class Masks:
    """The masks of a data set.

    Attributes:
        annotations: the data.
        made: by the object's number; objects that have a mask of their own are not among them.
        failed: why an object has none, by its number.
    """

    annotations: Annotations
    made: Mapping[int, Made]
    failed: Mapping[int, str]
    segmentation: Path | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    annotations: Annotations
    cutter: Cutter
    name: str
    segmentation: Segmentation | None
    numbers: dict[int, int]
    parts: Path


@dataclass(frozen=True, slots=True)
class _Shard:
    number: int
    rows: tuple[int, ...]  # objects without a mask, image by image

    def __str__(self) -> str:
        return f"shard {self.number}"


def make_masks(
    annotations: Annotations,
    parts: Path,
    cutter: Cutter,
    name: str,
    *,
    segmentation: Path | None = None,
    executor: Executor,
    resume: bool = False,
    observer: Observer | None = None,
) -> Masks:
    """A mask for each box that has none: from the class segmentation where it tells, else by the cutter.

    Crowds and objects to ignore are passed over. The same data and cutter give the same masks on any number of workers.

    Args:
        annotations: images and boxes.
        parts: a folder for the shards that are done; `resume` goes on with it.
        cutter: what cuts.
        name: the cutter's.
        segmentation: a folder of class segmentations, one PNG an image, under the image's path or name.
        executor: what maps the shards.
        resume: go on with what the folder holds.
        observer: hears of progress.

    Raises:
        RunError: the folder holds something else, or is in use.
        Interrupted: the observer asked to stop; the shards that are done are kept.
    """
    observer = heard_by(observer)
    rows = np.flatnonzero(~annotations.masked & ~annotations.crowd & ~annotations.ignore).tolist()
    shards = list(_shards(annotations, rows))
    with locked(parts):
        request = request_of(annotations, cutter, name, segmentation)
        about = parts / "request.json"
        claim(
            parts,
            "set of masks",
            request,
            called="data and engine",
            resume=resume,
            written=lambda: read_object(about, "what masks were begun with") if about.is_file() else None,
            begin=partial(write_json, about, request),
            resume_begins=True,
        )
        found, numbers = None, {}
        if segmentation is not None:
            found = segmentation_files(annotations, segmentation)
            numbers = class_numbers(annotations, partial(read_segmentation, annotations, segmentation=found))
            _say_of_shared(annotations, segmentation, found, observer)
        job = _Job(annotations, cutter, name, found, numbers, parts)
        left = [shard for shard in shards if not _part(parts, shard.number).is_file()]
        done = len(rows) - sum(len(shard.rows) for shard in left)
        observer.advance("masks", done, len(rows))
        with closing(executor.map(partial(_start, job), left, observer)) as making:
            for shard, _ in making:
                done += len(shard.rows)
                observer.advance("masks", done, len(rows))
        return replace(_collected(annotations, parts, shards), segmentation=segmentation)


def request_of(annotations: Annotations, cutter: Cutter, name: str, segmentation: Path | None) -> dict[str, Any]:
    """What the masks are a function of, as plain data: of other data, they are others."""
    digest = hashlib.sha256()
    for values in (annotations.boxes_px, annotations.labels, annotations.image_index, annotations.sizes_px):
        digest.update(np.ascontiguousarray(values).tobytes())
    for text in (*annotations.object_keys, *annotations.classes, *annotations.masked.astype(str)):
        digest.update(text.encode("utf-8", "surrogatepass") + b"\n")
    given = None if segmentation is None else str(segmentation)
    request = {"format": _FORMAT, "data": digest.hexdigest(), "engine": f"{name}: {cutter}", "segmentation": given}
    return request if segmentation is None or is_own(annotations, segmentation) else {**request, "found_by": _FOUND_BY}


def region_of(mask: Bool[np.ndarray, "h w"]) -> Drawn | None:
    """The mask's own part of the image; None where it is empty."""
    tight = box_of(mask.view(np.uint8))
    if tight is None:
        return None
    x0, y0, x1, y1 = tight
    inside = np.ascontiguousarray(mask[y0:y1, x0:x1]).view(np.uint8) * np.uint8(255)
    return Drawn(x0, y0, inside, int(np.count_nonzero(inside)))


def _shards(annotations: Annotations, rows: Sequence[int]) -> Iterable[_Shard]:
    """Objects by images, so many images in a shard."""
    images = annotations.image_index[list(rows)]
    names = np.unique(images)
    for number, first in enumerate(range(0, len(names), _SHARD_IMAGES)):
        chosen = names[first : first + _SHARD_IMAGES]
        low, high = np.searchsorted(images, [chosen[0], chosen[-1] + 1]).tolist()
        yield _Shard(number, tuple(rows[low:high]))


def _say_of_shared(annotations: Annotations, folder: Path, found: Segmentation, observer: Observer) -> None:
    if found.shared:
        observer.say(
            f"segmentation: {len(found.shared):,} images have no file of their own in {folder}, because others share their "
            f"name, the first being {annotations.paths[found.shared[0]]}; a file is looked for by the image's path, then by "
            "a name that one image alone has"
        )


def _part(parts: Path, number: int) -> Path:
    return parts / f"{number:06}.json"


def _start(job: _Job, observer: Observer) -> Any:
    return partial(_make, job)


def _make(job: _Job, shard: _Shard) -> int:
    """Make the masks of a shard's objects and write them into its file."""
    images = job.annotations.image_index[list(shard.rows)]
    made: list[dict[str, Any]] = []
    for image in np.unique(images).tolist():
        rows = [row for row, at in zip(shard.rows, images.tolist(), strict=True) if at == image]
        made += _of_image(job, image, rows)
    write_json(_part(job.parts, shard.number), made, indent=None)
    return len(made)


def _of_image(job: _Job, image: int, rows: Sequence[int]) -> list[dict[str, Any]]:
    annotations = job.annotations
    width, height = annotations.sizes_px[image].tolist()
    values = None if job.segmentation is None else read_segmentation(annotations, image, job.segmentation)
    found = {row: None if values is None else instance(annotations, row, values, job.numbers) for row in rows}
    lines = [_line(row, mask, (width, height), "segmentation") for row, mask in found.items() if mask is not None]
    rest = [row for row, mask in found.items() if mask is None]
    if not rest:
        return lines
    try:
        pixels = read_rgb(annotations.root / annotations.paths[image], annotations.paths[image], (width, height))
    except DataError as error:
        return [*lines, *({"object": row, "error": str(error)} for row in rest)]
    boxes: list[Box] = [_box(annotations, row) for row in rest]
    once = job.cutter.cut(pixels, boxes)
    again = job.cutter.cut(pixels, [shifted(box) for box in boxes])
    for row, box, mask, second in zip(rest, boxes, once, again, strict=True):
        line = _line(row, mask, (width, height), job.name)
        if "error" not in line:
            scores = measure(pixels, mask, second, box)
            line |= {"score": round(expected_iou(scores), 4), "scores": scores.to_json()}
        lines.append(line)
    return lines


def _line(row: int, mask: Bool[np.ndarray, "h w"], size_px: tuple[int, int], source: str) -> dict[str, Any]:
    region = region_of(mask)
    if region is None:
        return {"object": row, "error": "nothing in its box stands out from what is around it"}
    return {
        "object": row,
        "segmentation": runs_of_region(region, size_px),
        "area": region.seen_px,
        "source": source,
    }


def _box(annotations: Annotations, row: int) -> Box:
    x0, y0, x1, y1 = annotations.boxes_px[row].tolist()
    return x0, y0, x1, y1


def _collected(annotations: Annotations, parts: Path, shards: Sequence[_Shard]) -> Masks:
    made: dict[int, Made] = {}
    failed: dict[int, str] = {}
    for shard in shards:
        part = _part(parts, shard.number)
        try:
            lines = json.loads(part.read_text("utf-8"))
            by_row = {line["object"]: line for line in lines}
            for line in (by_row[row] for row in shard.rows):  # none may be missing
                if "error" in line:
                    failed[line["object"]] = line["error"]
                else:
                    made[line["object"]] = Made.from_json(line)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise RunError(f"{part}: expected masks, got a damaged file; remove it and go on with `resume`") from None
    return Masks(annotations, dict(sorted(made.items())), failed)
