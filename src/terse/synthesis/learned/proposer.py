"""The learned proposer: the synthesizer network looks at foreground and background and says where and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt64
from torch import Tensor, nn

from terse.draws import normal, uniform
from terse.placements import Placements
from terse.requests import Requests
from terse.synthesis.learned.features import PairFeatures
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import BaseProposer, pastes_of
from terse.types import Backgrounds, Foregrounds

if TYPE_CHECKING:
    from terse.synthesis.learned.config import LearnedConfig

__all__ = ["LearnedProposer"]

_KEEP_BYTES = 1 << 28


class LearnedProposer(BaseProposer):
    """The synthesizer network: it looks at foreground and background and says where and how.

    Source: paper 3.1.
    """

    keeps_hard = True

    def __init__(self, materials: Materials, network: nn.Module, settings: LearnedConfig) -> None:
        super().__init__(materials, settings.batch_size)
        self.module: nn.Module = network
        self.settings = settings
        self._learning = True
        self._features: PairFeatures | None = None

    def poses(self, cut: Foregrounds, background: Backgrounds, seeds: UInt64[np.ndarray, " b"]) -> Float[Tensor, "b k"]:
        """Mapped poses, differentiable in the network's weights, rounded as a placement stores them."""
        masked, below = cut.images * cut.alpha, _once(background.images)
        return self.poses_by(lambda noise: self.module(masked, below, noise), seeds)

    def poses_by(
        self, network: Callable[[Tensor | None], Tensor], seeds: UInt64[np.ndarray, " b"]
    ) -> Float[Tensor, "b k"]:
        """The poses of pairs, from what gives their raw output for the noise: the network, or its head alone.

        Rounding passes the gradient straight through: the composite of a step is then, bit for bit, the one
        that its placement renders to.
        """
        settings, family, device = self.settings, self.materials.poses, self.materials.device
        noise = base = None
        if settings.base == "random":
            unit = torch.from_numpy(uniform(seeds, "base", family.size)).float()
            base = torch.logit(unit, eps=1e-4).to(device)
            noise = base
        elif settings.noise_size:
            noise = torch.from_numpy(normal(seeds, "noise", settings.noise_size)).float().to(device)
        raw = network(noise).float()
        pose = family.from_raw(raw if base is None else raw + base)
        stored = (pose.detach().double() * 1e5).round() / 1e5
        return pose + (stored.float() - pose.detach())

    def keep_features(self, keep_bytes: int = _KEEP_BYTES) -> None:
        """From now on propose as a network that learns no more: in eval mode, the features of each image kept.

        For generating: the weights must stay as they are.
        """
        self.module.eval()
        if hasattr(self.module, "features_of_foregrounds"):
            self._features = PairFeatures(self.materials, self.module, keep_bytes)
        self._learning = False

    def propose(self, requests: Requests) -> Placements:
        """Random foregrounds of the classes wanted, under the network's poses.

        Dropout, on where the harvest is taken from training, draws from torch's own generator.
        """
        pastes = pastes_of(self.materials, requests)
        pose = self.of_pairs(pastes.foreground, requests.background[pastes.image_index], pastes.seeds)
        return self.placed(requests, pastes, pose)

    @torch.no_grad()
    def of_pairs(
        self, foreground: Int64[np.ndarray, " n"], background: Int64[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, "n k"]:
        """The pose of each pair of numbers in the banks.

        A network's last digits depend on how many pairs it sees at once: equal poses need equal blocks.
        """
        materials, features = self.materials, self._features
        network: Any = self.module
        network.train(self._learning and self.settings.harvest == "during")
        if features is not None:
            fore, back = features.of_pairs(foreground, background)
            pose = self.poses_by(lambda noise: network.head(fore, back, noise), seeds)
        else:
            cut = materials.foregrounds.fetch(foreground).to(materials.device)
            pose = self.poses(cut, materials.backgrounds.fetch(background).to(materials.device), seeds)
        return np.asarray(pose.double().cpu().numpy())


def _once(images: Tensor) -> Tensor:
    """A batch that is one image repeated without a copy, as that one image."""
    return images[:1] if images.stride(0) == 0 else images
