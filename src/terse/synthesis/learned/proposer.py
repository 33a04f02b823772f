"""The learned proposer: the synthesizer network looks at foreground and background and says where and how."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt64
from torch import Tensor, nn

from terse.draws import normal, uniform
from terse.placements import Placements, Role
from terse.requests import Requests
from terse.synthesis.learned.features import PairFeatures
from terse.synthesis.learned.in_turn import Occupancy, Shapes, in_turn, shapes_of
from terse.synthesis.learned.modes import seeded_dropout
from terse.synthesis.materials import Materials
from terse.synthesis.occluders import occluder_poses
from terse.synthesis.pastes import Pastes
from terse.synthesis.proposer import BaseProposer, pastes_of
from terse.types import Backgrounds, Foregrounds

if TYPE_CHECKING:
    from terse.synthesis.learned.config import LearnedConfig

__all__ = ["LearnedProposer"]

_KEEP_BYTES = 1 << 28


class LearnedProposer(BaseProposer):
    """The synthesizer network: it looks at foreground and background and says where and how.

    Its poses are joint ones (`PoseFamily.joint`): behind a paste's numbers stand those of its picture.

    Source: paper 3.1.
    """

    keeps_hard = True
    poses_occluders = True

    def __init__(self, materials: Materials, network: nn.Module, settings: LearnedConfig) -> None:
        super().__init__(materials, settings.batch_size, settings.scene_limits)
        self.module: nn.Module = network
        self.settings = settings
        self._features: PairFeatures | None = None

    def raw_poses(
        self, cut: Foregrounds, background: Backgrounds, pastes: Pastes, requests: Requests
    ) -> Float[Tensor, "n k"]:
        """Unbounded poses, differentiable in the network's weights; `mapped` takes them into the ranges.

        Several pastes of an image are posed one after another where the network sees what stands already.

        Args:
            cut: the foreground of each paste.
            background: of each image.
            pastes: what `pastes_of` gave.
            requests: what was asked for.
        """
        masked, network = cut.images * cut.alpha, self.module
        if getattr(network, "occupied", None) is None:
            below = _under(background.images, pastes.image_index)
            return self._raw(lambda noise: network(masked, below, noise), pastes.seeds, self._base(pastes, requests))
        fore, back = cast("Any", network).features_of_both(masked, background.images)
        return self._raw_in_turn(fore, back, shapes_of(cut), pastes, requests)

    def mapped(self, raw: Float[Tensor, "b k"], labels: Int64[np.ndarray, " b"]) -> Float[Tensor, "b k"]:
        """Poses in the ranges of their classes, rounded as a placement stores them.

        Rounding passes the gradient straight through: the composite of a step is then, bit for bit, the one
        that its placement renders to.
        """
        poses = self.materials.poses.joint
        pose = poses.of_classes(poses.from_raw(raw), labels, self.materials.foregrounds.classes)
        stored = (pose.detach().cpu().double() * 1e5).round() / 1e5  # some devices have no double precision
        return pose + (stored.float().to(pose.device) - pose.detach())

    def _base(self, pastes: Pastes, requests: Requests) -> Float[Tensor, "n k"] | None:
        """Raw poses that the network's outputs are added to: random ones, and for occluders in front of an object."""
        poses, family = self.materials.poses, self.materials.poses.joint
        aimed = np.flatnonzero(pastes.role == Role.OCCLUDER)
        if self.settings.base == "random":
            unit = family.random_unit(uniform(pastes.seeds, "base", family.size))
        elif len(aimed):
            unit = np.full((len(pastes.seeds), family.size), 0.5)
        else:
            return None
        if len(aimed):
            of_pastes = poses.to_unit(occluder_poses(self.materials, pastes.take(aimed), requests))
            unit[aimed, : poses.size] = of_pastes
        return family.to_raw(torch.from_numpy(unit).float()).to(self.materials.device)

    def _raw(
        self,
        network: Callable[[Tensor | None], Tensor],
        seeds: UInt64[np.ndarray, " b"],
        base: Float[Tensor, "b k"] | None,
    ) -> Float[Tensor, "b k"]:
        """From what gives the raw output for the noise: the network, or its head alone; the base is added."""
        noise = base if self.settings.base == "random" else None
        if noise is None and self.settings.noise_size:
            noise = torch.from_numpy(normal(seeds, "noise", self.settings.noise_size)).float().to(self.materials.device)
        raw = network(noise).float()
        return raw if base is None else raw + base

    def keep_features(self, keep_bytes: int = _KEEP_BYTES) -> None:
        """From now on keep the features of each image, for a network that learns no more.

        Features under dropout are a pair's own, and are not kept.
        """
        if hasattr(self.module, "features_of_foregrounds") and not self.settings.dropout_rate:
            self._features = PairFeatures(self.materials, self.module, keep_bytes)

    def propose(self, requests: Requests) -> Placements:
        """Random foregrounds of the classes wanted, under the network's poses with BatchNorm's running statistics.

        A network's last digits depend on how many pairs it sees at once: equal poses need equal blocks.
        """
        pastes = pastes_of(self.materials, requests)
        self.module.eval()
        pose = self.poses_of(pastes, requests)
        return self.placed(requests, pastes, np.asarray(pose.cpu().double().numpy()))

    @torch.no_grad()
    def poses_of(self, pastes: Pastes, requests: Requests) -> Float[Tensor, "n k"]:
        """The pose of each paste in the mode that BatchNorm is in; dropout acts as in training, by the pastes' seeds."""
        materials, features = self.materials, self._features
        network: Any = self.module
        if features is not None:
            fore, back = features.of_foregrounds(pastes.foreground), features.of_backgrounds(requests.background)
            if getattr(network, "occupied", None) is not None:
                raw = self._raw_in_turn(fore, back, features.shapes(pastes.foreground), pastes, requests)
            else:
                under = _under(back, pastes.image_index)
                base = self._base(pastes, requests)
                raw = self._raw(lambda noise: network.head(fore, under, noise), pastes.seeds, base)
            return self.mapped(raw, pastes.label)
        cut = materials.foregrounds.fetch(pastes.foreground).to(materials.device)
        below = materials.backgrounds.fetch(requests.background).to(materials.device)
        with seeded_dropout(network, pastes.seeds) if self.settings.dropout_rate else nullcontext():
            return self.mapped(self.raw_poses(cut, below, pastes, requests), pastes.label)

    def _raw_in_turn(
        self, fore: Tensor, back: Tensor, shapes: Shapes, pastes: Pastes, requests: Requests
    ) -> Float[Tensor, "n k"]:
        """One after another, from the features of each paste's foreground and of each image's background."""
        network: Any = self.module
        base = self._base(pastes, requests)
        occupancy = Occupancy(self.materials.poses, requests.size_px, (back.shape[-2], back.shape[-1]), back.device)

        def head(rows: Int64[np.ndarray, " m"], standing: Tensor) -> Tensor:
            first, second = fore[torch.from_numpy(rows)], back[torch.from_numpy(pastes.image_index[rows])]
            own = None if base is None else base[torch.from_numpy(rows)]
            return self._raw(lambda noise: network.head(first, second, noise, standing), pastes.seeds[rows], own)

        in_batches = any(part.training for part in network.modules() if isinstance(part, nn.BatchNorm1d))
        return in_turn(pastes, occupancy, shapes, head, self.mapped, whole_batch=in_batches)


def _under(images: Tensor, index: Int64[np.ndarray, " n"]) -> Tensor:
    """What lies under each paste; a batch that is one image repeated without a copy is that one image."""
    if images.stride(0) == 0:
        return images[:1]
    return images if np.array_equal(index, np.arange(len(images))) else images[torch.from_numpy(index)]
