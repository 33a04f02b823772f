"""Composites by number, as annotated images: what `data: {kind: pasted}` trains on and is judged by."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.draws import seeds_of
from terse.requests import Limits
from terse.synthesis.blind import BlindProposer
from terse.synthesis.materials import Materials
from terse.types import Truth

__all__ = ["PastedImages"]


class PastedImages:
    """So many composites at random poses; image i is a function of the seed and i alone.

    To the target they are real: nothing in them counts as pasted by the run. Objects of which little is seen are
    ignored.
    """

    def __init__(self, materials: Materials, count: int, objects: tuple[int, int], seed: tuple[int, str]) -> None:
        self._materials = materials
        arm = BlindProposer(materials, count, Limits(objects=objects))
        self._placements = arm.propose(arm.requests(seeds_of("pasted", *seed, count=count)))

    def __len__(self) -> int:
        return len(self._placements)

    @torch.no_grad()
    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b 3 h w"], Truth]:
        """Images and truth of these numbers, in this order."""
        drawn = self._materials.render(self._placements.take(indices))
        return drawn.images, replace(drawn.truth, pasted=torch.zeros_like(drawn.truth.pasted), masks=None)
