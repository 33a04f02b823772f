"""The learned proposer: the synthesizer network looks at foreground and background and says where and how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from terse.placements import Placements
from terse.synthesis.materials import Materials, draw_pairs
from terse.types import Backgrounds, Foregrounds

if TYPE_CHECKING:
    from terse.synthesis.learned.config import LearnedConfig

__all__ = ["LearnedProposer"]


class LearnedProposer:
    """The synthesizer network: it looks at foreground and background and says where and how.

    Source: paper 3.1.
    """

    keeps_hard = True

    def __init__(self, materials: Materials, network: nn.Module, settings: LearnedConfig) -> None:
        self.materials = materials
        self.module: nn.Module = network
        self.settings = settings
        self.batch_size = settings.batch_size

    def poses(self, cut: Foregrounds, background: Backgrounds, generator: torch.Generator) -> Float[Tensor, "b k"]:
        """Mapped poses, differentiable in the network's weights, rounded as a placement stores them."""
        masked, below = cut.images * cut.alpha, _once(background.images)
        return self.poses_by(lambda noise: self.module(masked, below, noise), len(cut), cut.alpha.device, generator)

    def poses_by(
        self,
        network: Callable[[Tensor | None], Tensor],
        count: int,
        device: torch.device,
        generator: torch.Generator,
    ) -> Float[Tensor, "count k"]:
        """The poses of so many pairs, from what gives their raw output for the noise: the network, or its head alone.

        Rounding passes the gradient straight through: the composite of a step is then, bit for bit, the one
        that its placement renders to.
        """
        settings, family = self.settings, self.materials.poses
        noise = base = None
        if settings.base == "random":
            unit = torch.rand(count, family.size, generator=generator)
            base = torch.logit(unit, eps=1e-4).to(device)
            noise = base
        elif settings.noise_size:
            noise = torch.randn(count, settings.noise_size, generator=generator).to(device)
        raw = network(noise).float()
        pose = family.from_raw(raw if base is None else raw + base)
        stored = (pose.detach().double() * 1e5).round() / 1e5
        return pose + (stored.float() - pose.detach())

    def propose(self, count: int, generator: torch.Generator) -> Placements:
        """Random pairs under the network's poses; dropout stays on where it is the only noise."""
        foreground, background = draw_pairs(self.materials, count, generator)
        device = self.materials.device
        cut = self.materials.foregrounds.fetch(foreground).to(device)
        below = self.materials.backgrounds.fetch(background).to(device)
        self.module.train(self.settings.harvest == "during")
        with torch.no_grad():
            pose = self.poses(cut, below, generator)
        return Placements.single(background, foreground, pose.double().cpu().numpy())


def _once(images: Tensor) -> Tensor:
    """A batch that is one image repeated without a copy, as that one image."""
    return images[:1] if images.stride(0) == 0 else images
