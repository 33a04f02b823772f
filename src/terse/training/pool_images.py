"""The pool as images to train on: rendered from placements, once where they fit into memory."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from terse.placements import Placements
from terse.protocols import Prefetches
from terse.synthesis.materials import Materials
from terse.types import Truth

__all__ = ["PoolImages"]

_MEMORY = 512 << 20  # bytes of float32 images kept; more is rendered batch by batch
_CHUNK = 512


class PoolImages:
    """Composites by number. Rendering again gives the same bits, so nothing but memory is lost.

    They are rendered when they are fetched, where `keep` is false or they are too many.

    Source: ours; the paper keeps images.
    """

    def __init__(self, placements: Placements, materials: Materials, *, keep: bool = True) -> None:
        self.placements = placements
        self._materials = materials
        self._images: Tensor | None = None
        self._truth: Truth | None = None
        count = len(placements)
        if keep and count * self._bytes_of_one() <= _MEMORY:
            parts = [self._render(rows) for rows in np.array_split(np.arange(count), -(-count // _CHUNK))]
            self._images = torch.cat([images for images, _ in parts])
            self._truth = Truth.join([truth for _, truth in parts])

    def __len__(self) -> int:
        return len(self.placements)

    def _bytes_of_one(self) -> int:
        return 4 * self._materials.backgrounds.fetch(np.zeros(1, dtype=np.int64)).images[0].numel()

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b c h w"], Truth]:
        """Images and truth of these numbers."""
        if self._images is None or self._truth is None:
            return self._render(indices)
        rows = torch.from_numpy(indices)
        return self._images[rows], self._truth.take(rows)

    def prefetch(self, indices: Int64[np.ndarray, " b"]) -> None:
        """Start decoding what these are made of."""
        if self._images is None:
            placements, materials = self.placements.take(indices), self._materials
            for bank, numbers in (
                (materials.foregrounds, placements.foreground),
                (materials.backgrounds, placements.background),
            ):
                if isinstance(bank, Prefetches):
                    bank.prefetch(numbers)

    @torch.no_grad()
    def _render(self, rows: Int64[np.ndarray, " b"]) -> tuple[Tensor, Truth]:
        drawn = self._materials.render(self.placements.take(rows))
        return drawn.images.cpu(), drawn.truth.to("cpu")
