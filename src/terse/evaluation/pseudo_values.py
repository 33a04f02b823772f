"""Pseudo-values: a metric that is no mean over images, as a mean over blocks of them."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool

__all__ = ["BLOCKS", "pseudo_values"]

BLOCKS = 25


def pseudo_values(
    metric: Callable[[Bool[np.ndarray, " images"]], float], images: int, blocks: int = BLOCKS
) -> list[float]:
    """For each block of images, K metric(all) - (K - 1) metric(all but the block).

    Image i belongs to block i mod K. A block without which the metric is no number counts as the whole's.

    Source: Tukey 1958; Quenouille 1956.
    """
    whole = metric(np.ones(images, dtype=np.bool_))
    count = min(blocks, images)
    values = []
    for block in range(count):
        without = metric(np.arange(images) % count != block)
        values.append(whole if np.isnan(without) else count * whole - (count - 1) * without)
    return [float(value) for value in values]
