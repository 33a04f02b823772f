"""Masks as one PNG an image whose pixels are numbers: 0 the background, 255 what counts neither as right nor as wrong."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from terse.export.sample import Sample

__all__ = ["MOST_NUMBERS", "paint", "write_indices"]

MOST_NUMBERS = 254
"""The largest number that is neither the background's nor the border's."""
_BORDER = 255


def paint(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Class (label + 1) and instance (place among the objects, from 1) of every pixel.

    Modal masks of pastes do not overlap, so their order does not matter. Objects to ignore are 255, and so are objects
    without a mask, whose pixels are not known.
    """
    import numpy as np

    width, height = sample.size_px
    by_class, by_object = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for unsure in (True, False):
        for number, item in enumerate(sample.objects, 1):
            lost = item.ignore or item.crowd or item.modal is None
            if lost is unsure:
                item.paint(by_class, _BORDER if lost else min(item.label + 1, MOST_NUMBERS))
                item.paint(by_object, _BORDER if lost else min(number, MOST_NUMBERS))
    return by_class, by_object


def write_indices(path: Path, values: np.ndarray) -> None:
    """Write a palette PNG: readers get the numbers, viewers VOC's colours."""
    from PIL import Image

    image = Image.fromarray(values)
    image.putpalette(_palette())
    image.save(path, compress_level=1)


def _palette() -> list[int]:
    """VOC's colours: the bits of the index, spread over red, green and blue from the highest down."""
    colours = [[0, 0, 0] for _ in range(256)]
    for index, bit, channel in itertools.product(range(256), range(8), range(3)):
        colours[index][channel] |= ((index >> (3 * bit + channel)) & 1) << (7 - bit)
    return list(itertools.chain.from_iterable(colours))
