"""Do two sources show the same photographs? By their content: copies have other names, sizes and JPEG qualities.

A foreground cut from an image that judges the model, or a background that is one, flatters every number.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float32, UInt8

from terse.sources.annotations import Annotations
from terse.sources.decode import read_rgb

__all__ = ["picture_prints", "same_pictures"]

_SIDE = 16
_ROWS = 512
_MAX_BITS = 75
"""Of 512. In 2,470 COCO photographs: copies at 0.4 to 2 times the size and JPEG qualities 40 to 95 differ by at most 55
bits, other pictures by at least 100."""


def picture_prints(annotations: Annotations, workers: int = 0) -> UInt8[np.ndarray, "images 64"]:
    """512 bits of each image: whether brightness rises to the right and downwards, on a 16x16 grid.

    Raises:
        DataError: a file was changed or broken since it was indexed.

    Source: difference hash, Krawetz 2013.
    """

    def one(image: int) -> UInt8[np.ndarray, " 64"]:
        width, height = annotations.sizes_px[image].tolist()
        path = annotations.paths[image]
        small_px = (4 * _SIDE, 4 * _SIDE)
        pixels = read_rgb(annotations.root / path, path, (width, height), small_px)
        grey = cv2.cvtColor(cv2.resize(pixels, small_px, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        right = cv2.resize(grey, (_SIDE + 1, _SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
        down = cv2.resize(grey, (_SIDE, _SIDE + 1), interpolation=cv2.INTER_AREA).astype(np.int16)
        bits = np.concatenate([(np.diff(right, axis=1) > 0).ravel(), (np.diff(down, axis=0) > 0).ravel()])
        return np.packbits(bits)

    if workers:
        with ThreadPoolExecutor(workers) as pool:
            prints = list(pool.map(one, range(len(annotations))))
    else:
        prints = [one(image) for image in range(len(annotations))]
    return np.array(prints, dtype=np.uint8).reshape(-1, 2 * _SIDE * _SIDE // 8)


def same_pictures(
    one: UInt8[np.ndarray, "n 64"], other: UInt8[np.ndarray, "m 64"], max_bits: int = _MAX_BITS
) -> Sequence[tuple[int, int]]:
    """The pairs of images, by their prints, that show the same picture; plain ones (a blank page) match nothing."""
    pairs: list[tuple[int, int]] = []
    known, against = _signs(one), _signs(other)
    told, against_told = ~_plain(one), ~_plain(other)
    for start in range(0, len(one), _ROWS):
        # Two bits agree where their signs' product is 1: one product of matrices in the place of a loop over pairs.
        agree = known[start : start + _ROWS] @ against.T
        near = (8 * one.shape[1] - agree) / 2 <= max_bits
        near &= told[start : start + _ROWS, None] & against_told
        pairs.extend((start + int(i), int(j)) for i, j in np.argwhere(near))
    return pairs


def _signs(prints: UInt8[np.ndarray, "n 64"]) -> Float32[np.ndarray, "n 512"]:
    return np.unpackbits(prints, axis=1).astype(np.float32) * 2 - 1


def _plain(prints: UInt8[np.ndarray, "n 64"]) -> Bool[np.ndarray, " n"]:
    """Hardly a rise anywhere: too little to know a picture by."""
    flat: Bool[np.ndarray, " n"] = np.unpackbits(prints, axis=1).sum(axis=1) < _MAX_BITS
    return flat
