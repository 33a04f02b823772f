"""Features once per foreground and once per background, then only the head per pair: F + B passes for N pairs."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from terse.sources.cache import Cache
from terse.synthesis.learned.proposer import LearnedProposer

__all__ = ["CachedPoses"]

_KEEP_BYTES = 1 << 28


class CachedPoses:
    """`PosesFor` of a learned proposer whose network tells features and head apart.

    A feature is computed from one image alone, never in a batch with others, so it does not depend on what was
    kept; the head sees the pairs of a fixed block. A network without `features_of_foregrounds` is run whole.
    """

    def __init__(self, proposer: LearnedProposer, keep_bytes: int = _KEEP_BYTES) -> None:
        self._proposer = proposer
        self._network: Any = proposer.module.eval()
        self._fore: Cache[int, Tensor] = Cache(self._of_foreground, _nbytes, keep_bytes // 2)
        self._back: Cache[int, Tensor] = Cache(self._of_background, _nbytes, keep_bytes // 2)

    def __call__(
        self,
        foreground: Int64[np.ndarray, " n"],
        background: Int64[np.ndarray, " n"],
        seed: int,
    ) -> Float64[np.ndarray, "n k"]:
        """One pose a pair, in eval mode."""
        generator = torch.Generator().manual_seed(seed)
        context = self._proposer.materials
        with torch.no_grad():
            if not hasattr(self._network, "features_of_foregrounds"):
                cut = context.foregrounds.fetch(foreground).to(context.device)
                below = context.backgrounds.fetch(background).to(context.device)
                return np.asarray(self._proposer.poses(cut, below, generator).double().cpu().numpy())
            fore = torch.cat([self._fore.get(i) for i in foreground.tolist()])
            back = torch.cat([self._back.get(i) for i in background.tolist()])
            pose = self._proposer.poses_by(
                lambda noise: self._network.head(fore, back, noise), len(fore), fore.device, generator
            )
        return np.asarray(pose.double().cpu().numpy())

    def _of_foreground(self, index: int) -> Float[Tensor, "1 c h w"]:
        context = self._proposer.materials
        cut = context.foregrounds.fetch(np.array([index])).to(context.device)
        features: Tensor = self._network.features_of_foregrounds(cut.images * cut.alpha)
        return features

    def _of_background(self, index: int) -> Float[Tensor, "1 c h w"]:
        context = self._proposer.materials
        images = context.backgrounds.fetch(np.array([index])).to(context.device).images
        features: Tensor = self._network.features_of_backgrounds(images)
        return features


def _nbytes(feature: Tensor) -> int:
    return feature.nbytes
