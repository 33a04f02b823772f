"""Has the discriminator learnt realism, or only which data set an image comes from?"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.discriminator import Discriminator, auc_of_scores
from terse.evaluation.predictions import spread
from terse.protocols import BackgroundBank, RealImages

__all__ = ["background_auc", "even_scores"]

_MOST = 64
_BATCH = 16


def background_auc(
    discriminator: Discriminator, real: RealImages, backgrounds: BackgroundBank, device: torch.device, most: int = _MOST
) -> float:
    """How well the discriminator tells untouched backgrounds from real images; 0.5 is good.

    Backgrounds without a paste are as real as images get: an AUC far from 0.5 on them means that the discriminator
    knows the data set, not the paste.

    Args:
        discriminator: the third player.
        real: what it is trained to call real.
        backgrounds: before anything is pasted on them.
        device: the discriminator's.
        most: at most so many of either, evenly spread.

    Source: ours.
    """
    of_real = even_scores(discriminator, len(real), lambda rows: real.fetch(rows)[0].to(device), most)
    plain = even_scores(discriminator, len(backgrounds), lambda rows: backgrounds.fetch(rows).images.to(device), most)
    return auc_of_scores(of_real, plain)


@torch.no_grad()
def even_scores(
    discriminator: Discriminator, total: int, fetch: Callable[[Int64[np.ndarray, " k"]], Tensor], most: int
) -> Float[Tensor, " n"]:
    """One number an image, the mean of its patches' logits; higher looks more real.

    Args:
        discriminator: the third player.
        total: how many images there are.
        fetch: gives those of these numbers.
        most: at most so many are looked at, evenly spread.

    Source: paper A.2 for the logits, their mean is ours.
    """
    chosen = spread(total, most)
    batches = np.array_split(chosen, -(-len(chosen) // _BATCH)) if len(chosen) else []
    scores = [torch.as_tensor(discriminator(fetch(rows))).float().flatten(1).mean(dim=1).cpu() for rows in batches]
    return torch.cat(scores)
