"""Pictures of what was found, drawn one by one while the page is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from terse.check.findings import Found, Show, sampled
from terse.errors import DataError
from terse.pictures.crops import LEAST_PX, Crop, read_whole, window_around
from terse.pictures.gallery import Gallery, GalleryItem, Streamed
from terse.sources.annotations import Annotations
from terse.sources.masks import draw_mask
from terse.tasks.answers import Box

__all__ = ["gallery_of"]

_MOST = 40  # of one kind of trouble
_SIDE_PX = 320
_GAP_PX = 6


def gallery_of(found: Sequence[Found]) -> Gallery:
    """At most forty pictures of each finding, evenly spread."""
    chosen = [(one, one.shows[i]) for one in found for i in sampled(len(one.shows), _MOST)]
    left = sum(len(one.shows) for one in found) - len(chosen)
    note = f"{len(chosen):,} of {len(chosen) + left:,}: at most {_MOST} of each finding" if left else ""
    return Gallery(Streamed(len(chosen), _items(chosen)), note, arm_word="Finding")


def _items(chosen: Sequence[tuple[Found, Show]]) -> Iterator[GalleryItem]:
    names = _Names()
    for found, show in chosen:
        try:
            yield _item(found, show, names)
        except DataError as error:  # gone since it was found: the page says so in its place
            grey = np.full((LEAST_PX, LEAST_PX, 3), 128, dtype=np.uint8)
            yield GalleryItem(grey, "none", arm=found.name, record={"image": str(error)})


class _Names:
    """The names of each index, which lists them anew whenever it is asked."""

    def __init__(self) -> None:
        self.images = cache(lambda annotations: annotations.image_keys)
        self.objects = cache(lambda annotations: annotations.object_keys)


def _item(found: Found, show: Show, names: _Names) -> GalleryItem:
    annotations, image = show.annotations, show.image
    record = {"image": names.images(annotations)[image], "why": show.why}
    if show.beside is not None:
        other, j = show.beside
        record["beside"] = names.images(other)[j]
        return GalleryItem(
            _pair(read_whole(annotations, image), read_whole(other, j)), "two pictures", arm=found.name, record=record
        )
    pixels = read_whole(annotations, image)
    window = _window(show, pixels.shape[1], pixels.shape[0])
    crop = Crop.of(window, _SIDE_PX)
    picture = crop.picture(pixels)
    boxes = [Box(crop.box(box.xyxy_px), box.label, box.score, box.state) for box in _boxes(show)]
    name = boxes[0].label if boxes else "none"
    if show.objects:
        record["object"] = names.objects(annotations)[show.objects[0]]
    return GalleryItem(picture, name, boxes, _masks(show, crop), arm=found.name, record=record)


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
    return window_around(edges, (width, height))


def _masks(show: Show, crop: Crop) -> list[npt.NDArray[np.bool_]]:
    annotations = show.annotations
    return [
        crop.mask(_drawn(annotations, show.image, number))
        for number in show.objects
        if annotations.masks[number] is not None
    ]


def _drawn(annotations: Annotations, image: int, number: int) -> npt.NDArray[np.bool_]:
    width, height = annotations.sizes_px[image].tolist()
    mask = annotations.masks[number]
    assert mask is not None  # by the callers
    try:
        return draw_mask(mask, annotations.root, (width, height)) > 127
    except DataError:  # the finding says so; the picture shows the box
        return np.zeros((height, width), dtype=np.bool_)


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
