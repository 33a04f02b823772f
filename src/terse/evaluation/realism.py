"""Has the discriminator learnt realism, or only which data set an image comes from?"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.discriminator import Discriminator, auc_of_scores
from terse.evaluation.predictions import spread
from terse.protocols import BackgroundBank, RealImages

__all__ = ["background_auc", "even_rows", "image_scores"]

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
    of_real = [image_scores(discriminator, real.fetch(rows)[0].to(device)) for rows in even_rows(len(real), most)]
    of_plain = [
        image_scores(discriminator, backgrounds.fetch(rows).images.to(device))
        for rows in even_rows(len(backgrounds), most)
    ]
    return auc_of_scores(torch.cat(of_real), torch.cat(of_plain))


@torch.no_grad()
def image_scores(discriminator: Discriminator, images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """One number an image, the mean of its patches' logits; higher looks more real.

    Source: paper A.2 for the logits, their mean is ours.
    """
    return torch.as_tensor(discriminator(images)).float().flatten(1).mean(dim=1).cpu()


def even_rows(total: int, most: int) -> list[Int64[np.ndarray, " k"]]:
    """Batches of at most so many of the first `total` numbers, evenly spread.

    Source: ours.
    """
    rows = spread(total, most)
    return np.array_split(rows, -(-len(rows) // _BATCH)) if len(rows) else []
