"""Uniform poses: what `random` and `mined` propose, and what others are compared with."""

import torch
from torch import nn

from terse.placements import Placements
from terse.synthesis.materials import Materials, draw_pairs

__all__ = ["BlindProposer"]


class BlindProposer:
    """Uniform poses.

    Source: Tieleman 2013 on digits; blind cut-paste as the paper's baseline (4.1, 4.2).
    """

    module: nn.Module | None = None

    def __init__(self, materials: Materials, *, keeps_hard: bool, batch_size: int) -> None:
        self.materials = materials
        self.keeps_hard = keeps_hard
        self.batch_size = batch_size

    def propose(self, count: int, generator: torch.Generator) -> Placements:
        """Random pairs under random poses."""
        foreground, background = draw_pairs(self.materials, count, generator)
        pose = self.materials.poses.random(count, generator)
        return Placements.single(background, foreground, pose.double().numpy())
