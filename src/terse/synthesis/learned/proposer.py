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
from terse.synthesis.learned.modes import seeded_dropout
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
        self._features: PairFeatures | None = None

    def raw_poses(
        self, cut: Foregrounds, background: Backgrounds, seeds: UInt64[np.ndarray, " b"]
    ) -> Float[Tensor, "b k"]:
        """Unbounded poses, differentiable in the network's weights; `mapped` takes them into the ranges."""
        masked = cut.images * cut.alpha
        return self._raw(lambda noise: self.module(masked, _once(background.images), noise), seeds)

    def mapped(self, raw: Float[Tensor, "b k"], labels: Int64[np.ndarray, " b"]) -> Float[Tensor, "b k"]:
        """Poses in the ranges of their classes, rounded as a placement stores them.

        Rounding passes the gradient straight through: the composite of a step is then, bit for bit, the one
        that its placement renders to.
        """
        poses = self.materials.poses
        pose = poses.of_classes(poses.from_raw(raw), labels, self.materials.foregrounds.classes)
        stored = (pose.detach().double() * 1e5).round() / 1e5
        return pose + (stored.float() - pose.detach())

    def _raw(self, network: Callable[[Tensor | None], Tensor], seeds: UInt64[np.ndarray, " b"]) -> Float[Tensor, "b k"]:
        """From what gives the raw output for the noise: the network, or its head alone; the base is added."""
        settings, family, device = self.settings, self.materials.poses, self.materials.device
        noise = base = None
        if settings.base == "random":
            unit = torch.from_numpy(uniform(seeds, "base", family.size)).float()
            base = torch.logit(unit, eps=1e-4).to(device)
            noise = base
        elif settings.noise_size:
            noise = torch.from_numpy(normal(seeds, "noise", settings.noise_size)).float().to(device)
        raw = network(noise).float()
        return raw if base is None else raw + base

    def keep_features(self, keep_bytes: int = _KEEP_BYTES) -> None:
        """From now on keep the features of each image, for a network that learns no more.

        Features under dropout are a pair's own, and are not kept.
        """
        if hasattr(self.module, "features_of_foregrounds") and not self.settings.dropout_rate:
            self._features = PairFeatures(self.materials, self.module, keep_bytes)

    def propose(self, requests: Requests) -> Placements:
        """Random foregrounds of the classes wanted, under the network's poses."""
        pastes = pastes_of(self.materials, requests)
        pose = self.of_pairs(pastes.foreground, requests.background[pastes.image_index], pastes.seeds)
        return self.placed(requests, pastes, pose)

    def of_pairs(
        self, foreground: Int64[np.ndarray, " n"], background: Int64[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float64[np.ndarray, "n k"]:
        """The pose of each pair of numbers in the banks, with BatchNorm's running statistics.

        A network's last digits depend on how many pairs it sees at once: equal poses need equal blocks.
        """
        self.module.eval()
        pose = self.of_numbers(foreground, background, seeds)
        return np.asarray(pose.double().cpu().numpy())

    @torch.no_grad()
    def of_numbers(
        self, foreground: Int64[np.ndarray, " n"], background: Int64[np.ndarray, " n"], seeds: UInt64[np.ndarray, " n"]
    ) -> Float[Tensor, "n k"]:
        """The same in the mode that BatchNorm is in; dropout acts as in training, by the pairs' own seeds."""
        materials, features = self.materials, self._features
        network: Any = self.module
        labels = materials.foregrounds.labels[foreground]
        if features is not None:
            fore, back = features.of_pairs(foreground, background)
            return self.mapped(self._raw(lambda noise: network.head(fore, back, noise), seeds), labels)
        cut = materials.foregrounds.fetch(foreground).to(materials.device)
        below = materials.backgrounds.fetch(background).to(materials.device)
        if not self.settings.dropout_rate:
            return self.mapped(self.raw_poses(cut, below, seeds), labels)
        with seeded_dropout(network, seeds):
            return self.mapped(self.raw_poses(cut, below, seeds), labels)


def _once(images: Tensor) -> Tensor:
    """A batch that is one image repeated without a copy, as that one image."""
    return images[:1] if images.stride(0) == 0 else images
