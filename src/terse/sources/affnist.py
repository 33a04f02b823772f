"""affNIST: its official .mat batches, and a generator of the like from MNIST where they cannot be had."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from terse.compositing.compose import compose
from terse.errors import DataError
from terse.poses import AffinePoses
from terse.protocols import ForegroundBank

__all__ = ["AFFNIST_RANGES", "affnist_like", "read_affnist"]

# rotation in degrees, shift as a fraction of what keeps all ink inside, shear along x, expansion of each axis
AFFNIST_RANGES = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))
_CANVAS_PX = (40, 40)
_CHUNK = 1000


def read_affnist(path: Path) -> tuple[UInt8[np.ndarray, "n 40 40"], UInt8[np.ndarray, " n"]]:
    """Images and labels of one official batch (`test.mat`, `1.mat`, ...).

    Raises:
        DataError: missing, not a MATLAB file, or without affNIST's fields.

    Source: Tieleman 2013, affNIST's file format.
    """
    from scipy.io import loadmat

    if not path.is_file():
        raise DataError(f"{path}: expected an affNIST batch, got no such file")
    try:
        data = loadmat(path)["affNISTdata"][0, 0]
        images, labels = data["image"], data["label_int"].ravel()
    except Exception as error:  # loadmat and its internals raise by the dozen, by how the file is broken
        raise DataError(
            f"{path}: expected an affNIST batch with affNISTdata.image and .label_int, got {error!r}"
        ) from None
    if images.ndim != 2 or images.shape != (1600, len(labels)):
        raise DataError(
            f"{path}: expected images of 1600 pixels for {len(labels)} labels, got the shape {images.shape}"
        )
    return np.ascontiguousarray(images.T.reshape(-1, 40, 40).astype(np.uint8)), labels.astype(np.uint8)


def affnist_like(digits: ForegroundBank, seed: int) -> UInt8[Tensor, "n 40 40"]:
    """Each digit once, under a random affine pose that keeps all its ink inside a 40x40 canvas.

    Rotation U(-20, 20) degrees, shear U(-0.2, 0.2), horizontal and vertical expansion U(0.8, 1.2) each,
    translation uniform over the shifts that keep all ink inside.

    Source: Tieleman 2013. Results on it are labelled "affNIST-like (regenerated)".
    """
    generator = torch.Generator().manual_seed(seed)
    poses = AFFNIST_RANGES.random(len(digits), generator)
    parts = []
    for start in range(0, len(digits), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(digits)))
        cut = digits.fetch(rows)
        matrix = AFFNIST_RANGES.matrix(poses[rows], cut.hull, _CANVAS_PX)
        black = torch.zeros(len(rows), 1, *_CANVAS_PX)
        parts.append(compose(black, cut.images, cut.alpha, matrix).images[:, 0].mul(255).round().byte())
    return torch.cat(parts)
