"""Pictures of what was found, drawn one by one while the page is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from terse.check.findings import Found, Show, sampled
from terse.errors import DataError
from terse.pictures.gallery import Gallery, GalleryItem, Streamed
from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb
from terse.sources.masks import draw_mask
from terse.tasks.answers import Box

__all__ = ["gallery_of"]

_MOST = 40  # of one kind of trouble
_SIDE_PX = 320
_MARGIN = 0.25  # of an object's longer side, around it
_LEAST_PX = 48
_GAP_PX = 6


def gallery_of(found: Sequence[Found]) -> Gallery:
    """At most forty pictures of each finding, evenly spread."""
    chosen = [(one, one.shows[i]) for one in found for i in sampled(len(one.shows), _MOST)]
    left = sum(len(one.shows) for one in found) - len(chosen)
    note = f"{len(chosen):,} of {len(chosen) + left:,}: at most {_MOST} of each finding" if left else ""
    return Gallery(Streamed(len(chosen), _items(chosen)), note, arm_word="Finding")


def _items(chosen: Sequence[tuple[Found, Show]]) -> Iterator[GalleryItem]:
    for found, show in chosen:
        try:
            yield _item(found, show)
        except DataError as error:  # gone since it was found: the page says so in its place
            grey = np.full((_LEAST_PX, _LEAST_PX, 3), 128, dtype=np.uint8)
            yield GalleryItem(grey, "none", arm=found.name, record={"image": str(error)})


def _item(found: Found, show: Show) -> GalleryItem:
    annotations, image = show.annotations, show.image
    record = {"image": annotations.image_keys[image], "why": show.why}
    if show.beside is not None:
        other, j = show.beside
        record["beside"] = other.image_keys[j]
        return GalleryItem(
            _pair(_whole(annotations, image), _whole(other, j)), "two pictures", arm=found.name, record=record
        )
    pixels = _whole(annotations, image)
    window = _window(show, pixels.shape[1], pixels.shape[0])
    x0, y0, x1, y1 = window
    scale = min(1.0, _SIDE_PX / max(x1 - x0, y1 - y0))
    size = max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale))
    picture = cv2.resize(pixels[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA)
    boxes = [Box(_moved(box.xyxy_px, window, scale), box.label, box.score, box.state) for box in _boxes(show)]
    name = boxes[0].label if boxes else "none"
    if show.objects:
        record["object"] = annotations.object_keys[show.objects[0]]
    return GalleryItem(picture.astype(np.uint8), name, boxes, _masks(show, window, size), arm=found.name, record=record)


def _whole(annotations: Annotations, image: int) -> npt.NDArray[np.uint8]:
    width, height = annotations.sizes_px[image].tolist()
    return read_rgb(annotations.root / annotations.paths[image], annotations.paths[image], (width, height))


def _boxes(show: Show) -> list[Box]:
    annotations = show.annotations
    own = [
        Box(tuple(annotations.boxes_px[i].tolist()), annotations.classes[int(annotations.labels[i])])
        for i in show.objects
    ]
    return [*own, *show.detections]


def _window(show: Show, width: int, height: int) -> tuple[int, int, int, int]:
    """The object with some of its surroundings; the whole image where there is not one object alone."""
    if len(show.objects) != 1:
        return 0, 0, width, height
    box = show.annotations.boxes_px[show.objects[0]]
    edges = np.array([*box[:2], *box[2:]])
    mask = show.annotations.masks[show.objects[0]]
    if mask is not None:
        rows, columns = np.nonzero(_drawn(show.annotations, show.image, show.objects[0]))
        if len(rows):  # an empty mask shows the box alone
            edges[:2] = np.minimum(edges[:2], [columns.min(), rows.min()])
            edges[2:] = np.maximum(edges[2:], [columns.max() + 1, rows.max() + 1])
    sides = edges[2:] - edges[:2]
    margin = max(_MARGIN * float(sides.max()), (_LEAST_PX - float(sides.max())) / 2)
    low = np.maximum(np.floor(edges[:2] - margin), 0).astype(int)
    high = np.minimum(np.ceil(edges[2:] + margin), [width, height]).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _masks(show: Show, window: tuple[int, int, int, int], size: tuple[int, int]) -> list[npt.NDArray[np.bool_]]:
    x0, y0, x1, y1 = window
    drawn = []
    for number in show.objects:
        if show.annotations.masks[number] is not None:
            part = _drawn(show.annotations, show.image, number)[y0:y1, x0:x1].astype(np.uint8) * np.uint8(255)
            drawn.append(cv2.resize(np.ascontiguousarray(part), size, interpolation=cv2.INTER_AREA) > 127)
    return drawn


def _drawn(annotations: Annotations, image: int, number: int) -> npt.NDArray[np.bool_]:
    width, height = annotations.sizes_px[image].tolist()
    mask = annotations.masks[number]
    assert mask is not None  # by the callers
    try:
        return draw_mask(mask, annotations.root, (width, height)) > 127
    except DataError:  # the finding says so; the picture shows the box
        return np.zeros((height, width), dtype=np.bool_)


def _moved(
    box: tuple[float, float, float, float], window: tuple[int, int, int, int], scale: float
) -> tuple[float, float, float, float]:
    x0, y0, _, _ = window
    return (box[0] - x0) * scale, (box[1] - y0) * scale, (box[2] - x0) * scale, (box[3] - y0) * scale


def _pair(one: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Two pictures beside each other at one height."""
    height = _SIDE_PX // 2
    both = [
        cv2.resize(
            image, (max(1, round(image.shape[1] * height / image.shape[0])), height), interpolation=cv2.INTER_AREA
        )
        for image in (one, other)
    ]
    gap = np.full((height, _GAP_PX, 3), 255, dtype=np.uint8)
    return np.concatenate([both[0], gap, both[1]], axis=1).astype(np.uint8)
