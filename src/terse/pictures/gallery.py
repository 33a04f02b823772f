"""Images to browse and images to compare, and how they become small enough for a page."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from terse.pictures.crops import Thumbnail, choose_side, thumbnail
from terse.tasks.answers import Answer, Box, outline_of
from terse.workers import usable_cores

__all__ = ["BeforeAfter", "Gallery", "GalleryItem", "Picking", "Streamed", "packed_gallery", "packed_pairs"]

# Of thumbnails as base64: with 5,000 records, plotly and the rest the page stays under 25 MB.
GALLERY_BYTES = 17_000_000
PAIRS_BYTES = 2_500_000
BATCH = 64  # twice so many images are in memory at once
SAMPLES = 24  # images that are encoded once more to choose the size
LEAST_PAIR_PX = 256


@dataclass(frozen=True, slots=True)
class GalleryItem:
    """One image of the gallery: RGB, RGBA or grey `(h, w)` / `(h, w, 1)`, or its thumbnail.

    Boxes and masks are in pixels of the image as it is given here, at any resolution; a mask may be its outline, an SVG
    path.
    """

    image: npt.NDArray[np.uint8] | Thumbnail
    class_name: str
    boxes: Sequence[Box] = ()
    masks: Sequence[npt.NDArray[np.bool_] | str] = ()
    cycle: int | None = None
    hardness: float | None = None
    arm: str | None = None
    record: Mapping[str, Any] = field(default_factory=dict)  # shown on a click: JSON values only
    key: str = ""  # its name in the list of a `Picking`


@dataclass(frozen=True, slots=True)
class Streamed(Collection[GalleryItem]):
    """Items drawn while the page is written, so that thousands of composites are never in memory together."""

    count: int
    items: Iterator[GalleryItem]

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[GalleryItem]:
        return self.items

    def __contains__(self, item: object) -> bool:
        return False  # an iterator cannot be searched without being used up


@dataclass(frozen=True, slots=True)
class Picking:
    """Images of the gallery are ticked off, and the list of their keys is saved as a file."""

    word: str  # what is done with the ticked ones, for example "Drop"
    note: str  # how, in a sentence or two
    file: str  # the name of the saved list
    ticked: Sequence[str] = ()  # keys that are ticked when the page opens


@dataclass(frozen=True, slots=True)
class Gallery:
    """Images to browse. A filter whose values are all alike is left out of the page."""

    items: Collection[GalleryItem] = ()
    note: str = ""  # for example "2,000 of 12,340: every sixth"
    class_word: str = "Class"
    arm_word: str = "Arm"
    hardness_word: str = "Hardness"
    picking: Picking | None = None


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """One real image under the model at the start and at the end (paper, Fig. 9)."""

    image: npt.NDArray[np.uint8] | Thumbnail
    before: Answer
    after: Answer
    name: str = ""


def packed_gallery(gallery: Gallery) -> Iterator[GalleryItem]:
    """The items in order, each with its thumbnail and the outlines of its masks."""
    items = iter(gallery.items)
    first = list(itertools.islice(items, SAMPLES))
    side_px = choose_side([item.image for item in first], len(gallery.items), GALLERY_BYTES)
    return _packed(itertools.chain(first, items), side_px)


def packed_pairs(pairs: Sequence[BeforeAfter]) -> list[BeforeAfter]:
    """The pairs, each with its thumbnail."""
    side_px = choose_side([pair.image for pair in pairs[:SAMPLES]], len(pairs), PAIRS_BYTES)
    return [replace(pair, image=thumbnail(pair.image, max(side_px, LEAST_PAIR_PX))) for pair in pairs]


def _packed(items: Iterable[GalleryItem], side_px: int) -> Iterator[GalleryItem]:
    """In several threads: Pillow and OpenCV leave the interpreter's lock."""
    items = iter(items)

    def pack(item: GalleryItem) -> GalleryItem:
        paths = [mask if isinstance(mask, str) else outline_of(mask) for mask in item.masks]
        return replace(item, image=thumbnail(item.image, side_px), masks=[path for path in paths if path])

    with ThreadPoolExecutor(min(4, usable_cores())) as workers:
        waiting: list[Future[GalleryItem]] = []
        while batch := list(itertools.islice(items, BATCH)):
            yield from (done.result() for done in waiting)  # encoded while the caller drew this batch
            waiting = [workers.submit(pack, item) for item in batch]
        yield from (done.result() for done in waiting)
