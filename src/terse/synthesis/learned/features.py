"""Features once per foreground and once per background, then only the head per pair: F + B passes for N pairs."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from terse.sources.cache import Cache
from terse.synthesis.learned.in_turn import Shapes, shapes_of
from terse.synthesis.materials import Materials

__all__ = ["PairFeatures"]


class PairFeatures:
    """What the head of a network in eval mode sees of pairs; the latest features are kept.

    A feature is computed from one image alone, never in a batch with others, so it does not depend on what was
    kept. The network must tell `features_of_foregrounds`, `features_of_backgrounds` and `head` apart.

    Source: paper 3.4; computing each image once is ours.
    """

    def __init__(self, materials: Materials, network: nn.Module, keep_bytes: int) -> None:
        self._materials = materials
        self._network: Any = network
        self._fore: Cache[int, tuple[Tensor, Shapes]] = Cache(self._of_foreground, _nbytes, keep_bytes // 2)
        self._back: Cache[int, Tensor] = Cache(self._of_background, lambda feature: feature.nbytes, keep_bytes // 2)

    def of_foregrounds(self, numbers: Int64[np.ndarray, " n"]) -> Float[Tensor, "n c h w"]:
        """The features of these foregrounds."""
        return torch.cat([self._fore.get(number)[0] for number in numbers.tolist()])

    def of_backgrounds(self, numbers: Int64[np.ndarray, " b"]) -> Float[Tensor, "b c h w"]:
        """The features of these backgrounds."""
        return torch.cat([self._back.get(number) for number in numbers.tolist()])

    def shapes(self, foreground: Int64[np.ndarray, " n"]) -> Shapes:
        """The shapes of these foregrounds."""
        masks, hulls = zip(*(self._fore.get(number)[1] for number in foreground.tolist()), strict=True)
        return torch.cat(masks), torch.cat(hulls)

    def _of_foreground(self, number: int) -> tuple[Float[Tensor, "1 c h w"], Shapes]:
        cut = self._materials.foregrounds.fetch(np.array([number])).to(self._materials.device)
        return self._network.features_of_foregrounds(cut.images * cut.alpha), shapes_of(cut)

    def _of_background(self, number: int) -> Float[Tensor, "1 c h w"]:
        images = self._materials.backgrounds.fetch(np.array([number])).to(self._materials.device).images
        features: Tensor = self._network.features_of_backgrounds(images)
        return features


def _nbytes(kept: tuple[Tensor, Shapes]) -> int:
    feature, (masks, hulls) = kept
    return feature.nbytes + masks.nbytes + hulls.nbytes
