"""What proposes placements: which foreground goes on which background, under which pose."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from terse.compositing.affine import AffinePoses
from terse.compositing.render import Renderer
from terse.protocols import BackgroundBank, ForegroundBank, RealImages
from terse.synthesis.learned import LearnedConfig
from terse.types import Backgrounds, Foregrounds, Placements

__all__ = ["BlindProposer", "Context", "LearnedProposer", "draw_pairs"]


@dataclass(frozen=True, slots=True)
class Context:
    """What an arm is built from."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank
    poses: AffinePoses
    render: Renderer
    real: RealImages
    classes: tuple[str, ...]
    canvas_px: int
    seed: int
    grey: bool = False
    device: torch.device | str = "cpu"


def draw_pairs(
    context: Context, count: int, generator: torch.Generator
) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """Random foregrounds, every class equally often, with random backgrounds.

    Source: paper A.2 (random pairs); equal classes are ours, so that per-class quotas fill alike.
    """
    labels = context.foregrounds.labels
    present = np.unique(labels)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], present)
    sizes = np.diff(np.append(starts, len(labels)))
    unit = torch.rand(3, count, generator=generator, dtype=torch.float64).numpy()
    which = (unit[0] * len(present)).astype(np.int64)
    foreground = order[starts[which] + (unit[1] * sizes[which]).astype(np.int64)]
    background = (unit[2] * len(context.backgrounds)).astype(np.int64)
    return foreground, background


class BlindProposer:
    """Uniform poses.

    Source: Tieleman 2013 on digits; blind cut-paste as the paper's baseline (4.1, 4.2).
    """

    module: nn.Module | None = None

    def __init__(self, context: Context, *, keeps_hard: bool, batch_size: int) -> None:
        self.context = context
        self.keeps_hard = keeps_hard
        self.batch_size = batch_size

    def propose(self, count: int, generator: torch.Generator) -> Placements:
        """Random pairs under random poses."""
        foreground, background = draw_pairs(self.context, count, generator)
        pose = self.context.poses.random(count, generator)
        return Placements.single(background, foreground, pose.double().numpy())


class LearnedProposer:
    """The synthesizer network: it looks at foreground and background and says where and how.

    Source: paper 3.1.
    """

    keeps_hard = True

    def __init__(self, context: Context, network: nn.Module, settings: LearnedConfig) -> None:
        self.context = context
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
        settings, family = self.settings, self.context.poses
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
        foreground, background = draw_pairs(self.context, count, generator)
        device = self.context.device
        cut = self.context.foregrounds.fetch(foreground).to(device)
        below = self.context.backgrounds.fetch(background).to(device)
        self.module.train(self.settings.harvest == "during")
        with torch.no_grad():
            pose = self.poses(cut, below, generator)
        return Placements.single(background, foreground, pose.double().cpu().numpy())


def _once(images: Tensor) -> Tensor:
    """A batch that is one image repeated without a copy, as that one image."""
    return images[:1] if images.stride(0) == 0 else images
