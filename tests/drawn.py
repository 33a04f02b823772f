"""Drawn cut-outs, backgrounds and poses for the compositing tests."""

import torch
from torch import Tensor

from terse.compositing import support_points
from terse.poses import AffinePoses

PHOTO_POSES = AffinePoses((-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.1, 1.2), stretch=(0.8, 1.25), min_visible=0.3)


def ellipse(size_px: int, half_x: float = 0.4, half_y: float = 0.75, dtype: torch.dtype = torch.float32) -> Tensor:
    """A hard mask, (1, 1, size, size)."""
    along = (2 * torch.arange(size_px, dtype=dtype) + 1) / size_px - 1
    return ((along / half_x) ** 2 + (along[:, None] / half_y) ** 2 < 1).to(dtype)[None, None]


def smooth(seed: int, count: int, size_px: tuple[int, int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Smooth colour images, (count, 3, height, width), in [0, 1]."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.interpolate(coarse, size_px, mode="bicubic", align_corners=True).clamp(0, 1).to(dtype)


def noise(seed: int, *shape: int) -> Tensor:
    """Uniform noise in [0, 1]."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def matrices(seed: int, alpha: Tensor, canvas_px: tuple[int, int]) -> Tensor:
    """Random photograph poses of these masks."""
    pose = PHOTO_POSES.random(len(alpha), torch.Generator().manual_seed(seed))
    return PHOTO_POSES.matrix(pose, support_points(alpha), canvas_px)


def upright(scale: float, count: int = 1, shift_x: float = 0.0, shift_y: float = 0.0) -> Tensor:
    """Matrices of a patch at one scale of a square canvas, moved by fractions of it."""
    row = [[1 / scale, 0.0, -2 * shift_x / scale], [0.0, 1 / scale, -2 * shift_y / scale]]
    return torch.tensor([row]).repeat(count, 1, 1)
