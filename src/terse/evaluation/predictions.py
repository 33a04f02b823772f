"""How a model is shown images to be measured: which of them, in which batches, without gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int64

from terse.protocols import Judges, RealImages

if TYPE_CHECKING:
    import torch

    from terse.types import Truth

__all__ = ["predictions", "spread"]


def predictions(
    target: Judges, images: RealImages, *, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[Any, Truth]]:
    """What the target predicts of each batch of images, and their truth on the CPU, in the order of the images.

    Source: ours.
    """
    import torch

    for start in range(0, len(images), batch_size):
        with torch.no_grad():
            batch, truth = images.fetch(np.arange(start, min(start + batch_size, len(images))))
            predicted = target.predict(batch.to(device))
        yield predicted, truth.to("cpu")


def spread(total: int, most: int) -> Int64[np.ndarray, " k"]:
    """At most `most` of the first `total` numbers, evenly spread, ascending.

    Source: ours.
    """
    count = min(total, most)
    return (np.arange(count, dtype=np.int64) * total) // max(1, count)
