"""What every proposer is built from, and the random pairs of a foreground and a background."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from terse.compositing.render import Renderer
from terse.poses import PoseFamily
from terse.protocols import BackgroundBank, ForegroundBank, RealImages

__all__ = ["Materials", "draw_pairs"]


@dataclass(frozen=True, slots=True)
class Materials:
    """What a proposer is built from: banks, poses, real images and the canvas."""

    foregrounds: ForegroundBank
    backgrounds: BackgroundBank
    poses: PoseFamily
    render: Renderer
    real: RealImages
    classes: tuple[str, ...]
    canvas_px: int
    seed: int
    device: torch.device | str = "cpu"


def draw_pairs(
    materials: Materials, count: int, generator: torch.Generator
) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """Random foregrounds, every class equally often, with random backgrounds.

    Source: paper A.2 (random pairs); equal classes are ours, so that per-class quotas fill alike.
    """
    labels = materials.foregrounds.labels
    present = np.unique(labels)
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], present)
    sizes = np.diff(np.append(starts, len(labels)))
    unit = torch.rand(3, count, generator=generator, dtype=torch.float64).numpy()
    which = (unit[0] * len(present)).astype(np.int64)
    foreground = order[starts[which] + (unit[1] * sizes[which]).astype(np.int64)]
    background = (unit[2] * len(materials.backgrounds)).astype(np.int64)
    return foreground, background
