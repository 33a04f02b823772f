"""Digits in memory: white ink whose alpha is the ink, black backgrounds, labelled images."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional

from terse.poses.maps import support_points
from terse.types import Backgrounds, Foregrounds, Truth

__all__ = ["BlackBackgrounds", "DigitForegrounds", "LabelledImages"]

_CANVAS = 40
_CHUNK = 5000


class DigitForegrounds:
    """MNIST digits padded to 40x40: the ink is the alpha, the colour is white.

    Colour and alpha both being the ink would square it.

    Source: paper A.1 (padding); ink as alpha alone is ours.
    """

    def __init__(self, images: UInt8[Tensor, "n h w"], labels: Int64[np.ndarray, " n"], name: str) -> None:
        self._images = _pad(images)
        self.labels = labels
        self.keys: Sequence[str] = [f"{name}:{i}" for i in range(len(labels))]
        self.classes = tuple(str(digit) for digit in range(10))
        chunks = [support_points(part[:, None].float()) for part in torch.split(self._images, _CHUNK)]
        self._hull = torch.cat(chunks) if chunks else torch.zeros(0, 1, 2)
        self._labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.labels)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The digits of these numbers."""
        rows = torch.from_numpy(indices)
        alpha = self._images[rows][:, None].float().div(255)
        return Foregrounds(torch.ones(len(rows), 1, 1, 1), alpha, self._labels[rows], self._hull[rows])


class BlackBackgrounds:
    """One black canvas.

    Source: paper 4.1.
    """

    def __init__(self, canvas_px: int = _CANVAS) -> None:
        self.keys: Sequence[str] = ["black"]
        self._image = torch.zeros(1, 1, canvas_px, canvas_px)

    def __len__(self) -> int:
        return 1

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        """The same canvas, so many times, without copying it."""
        return Backgrounds(self._image.expand(len(indices), -1, -1, -1), Truth.empty(len(indices)))


class LabelledImages:
    """Grey images with one label each, in memory as bytes."""

    def __init__(self, images: UInt8[Tensor, "n h w"], labels: Int64[np.ndarray, " n"]) -> None:
        self._images = _pad(images)
        self._labels = torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self._labels)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b 1 h w"], Truth]:
        """Images in [0, 1] and their labels."""
        rows = torch.from_numpy(indices)
        return self._images[rows][:, None].float().div(255), Truth.of_images(self._labels[rows])


def _pad(images: Tensor) -> Tensor:
    """Centre on the 40x40 canvas."""
    missing = _CANVAS - images.shape[-1]
    return functional.pad(images, (missing // 2,) * 4) if missing > 0 else images
