"""How a model is shown images to be measured: which of them, in which batches, without gradient."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from terse.protocols import Judges, RealImages
from terse.types import Truth

__all__ = ["predictions", "spread"]


@torch.no_grad()
def predictions(
    target: Judges, images: RealImages, *, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[Any, Truth]]:
    """What the target predicts of each batch of images, and their truth on the CPU, in the order of the images.

    Source: ours.
    """
    for start in range(0, len(images), batch_size):
        batch, truth = images.fetch(np.arange(start, min(start + batch_size, len(images))))
        yield target.predict(batch.to(device)), truth.to("cpu")


def spread(total: int, most: int) -> Int64[np.ndarray, " k"]:
    """At most `most` of the first `total` numbers, evenly spread, ascending.

    Source: ours.
    """
    count = min(total, most)
    return (np.arange(count, dtype=np.int64) * total) // max(1, count)
