"""Pictures of made masks for their page, the worst scored first, drawn one by one while the page is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from terse.errors import DataError
from terse.masks.make import Made, Masks
from terse.masks.segmentation import Segmentation, read_segmentation, segmentation_files
from terse.pictures.crops import LEAST_PX, Crop, read_whole, window_around
from terse.pictures.gallery import Gallery, GalleryItem, Picking, Streamed
from terse.pictures.sheets import COLOURS
from terse.sources.masks import Rle, draw_mask
from terse.tasks.answers import Box

__all__ = ["gallery_of"]

_MOST = 5000
_SIDE_PX = 320
_PLAIN = 200  # the grey behind a cut-out
_NOTE = (
    "Tick the bad ones: X, or the box on the picture; arrow keys move, Enter enlarges. "
    "Save the list and give it to --drop; it holds every ticked one, filtered out of sight or not."
)


def gallery_of(masks: Masks, dropped: Collection[int], list_name: str) -> Gallery:
    """All masks that were made, those of an engine by their score, the worst first; at most 5,000.

    Args:
        masks: what was made.
        dropped: the objects that are ticked already.
        list_name: the name of the list that the page saves.
    """
    keys = masks.annotations.object_keys
    order = sorted(masks.made, key=lambda row: (_rank(masks.made[row]), row))
    chosen = order[:_MOST]
    note = f"The {len(chosen):,} worst scored of {len(order):,}." if len(chosen) < len(order) else ""
    ticked = [keys[row] for row in chosen if row in dropped]
    return Gallery(
        Streamed(len(chosen), _items(masks, chosen, keys)),
        note,
        arm_word="From",
        hardness_word="Score",
        picking=Picking("Drop", _NOTE, list_name, ticked),
    )


def _rank(made: Made) -> float:
    return 2.0 if made.score is None else made.score


def _items(masks: Masks, rows: Sequence[int], keys: Sequence[str]) -> Iterator[GalleryItem]:
    segmentation = None if masks.segmentation is None else segmentation_files(masks.annotations, masks.segmentation)
    for row in rows:
        try:
            yield _item(masks, row, keys[row], segmentation)
        except DataError as error:  # gone since its mask was made: the page says so in its place
            grey = np.full((LEAST_PX, LEAST_PX, 3), 128, dtype=np.uint8)
            yield GalleryItem(grey, "none", record={"image": str(error)}, key=keys[row])


def _item(masks: Masks, row: int, key: str, segmentation: Segmentation | None) -> GalleryItem:
    annotations, made = masks.annotations, masks.made[row]
    image = int(annotations.image_index[row])
    pixels = read_whole(annotations, image)
    height, width = pixels.shape[:2]
    mask = draw_mask(Rle(made.segmentation["counts"].encode("ascii")), annotations.root, (width, height)) > 127
    box = annotations.boxes_px[row].tolist()
    name = annotations.classes[int(annotations.labels[row])]
    crop = Crop.of(window_around(box, (width, height)), _SIDE_PX)
    picture, inside = crop.picture(pixels), crop.mask(mask)
    panels = [picture, _cut_out(picture, inside)]
    if made.source == "segmentation" and segmentation is not None:
        values = read_segmentation(annotations, image, segmentation)
        if values is not None:
            panels.insert(1, _coloured(values, crop))
    record = {"key": key, **({} if made.scores is None else made.scores.to_json())}
    return GalleryItem(
        _beside(panels),
        name,
        [Box(crop.box(box), name)],
        [inside],
        hardness=made.score,
        arm=made.source,
        record=record,
        key=key,
    )


def _cut_out(picture: npt.NDArray[np.uint8], inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """The object alone on grey."""
    return np.where(inside[..., None], picture, np.uint8(_PLAIN))


def _coloured(values: npt.NDArray[np.uint8], crop: Crop) -> npt.NDArray[np.uint8]:
    """The segmentation, each class in a colour; background is black, void white."""
    palette = np.array([COLOURS[number % len(COLOURS)] for number in range(256)], dtype=np.uint8)
    palette[0], palette[255] = 0, 255
    x0, y0, x1, y1 = crop.window
    part = cv2.resize(np.ascontiguousarray(values[y0:y1, x0:x1]), crop.size_px, interpolation=cv2.INTER_NEAREST)
    return np.asarray(palette[part])


def _beside(panels: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    """The panels from left to right, a wide object's from top to bottom, so that a square card shows them large."""
    height, width = panels[0].shape[:2]
    return np.concatenate(panels, axis=0 if width > height else 1)
