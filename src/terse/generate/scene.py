"""Everything a worker needs to propose and draw: material, poses, edges, settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Float64

from terse.generate.settings import GenerateSettings
from terse.poses import AffinePoses
from terse.recipe import EdgeConfig
from terse.sources.material import Material

__all__ = ["Scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is the same for every image of the set; it can be pickled."""

    material: Material
    poses: AffinePoses
    edges: EdgeConfig | None
    settings: GenerateSettings

    def canvas_px(self, background: int) -> tuple[int, int]:
        """Width and height that a background's composites have."""
        return self.asked_px(self.material.size_px(background))

    def asked_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The size with the shorter side that was asked for, if one was."""
        width, height = size_px
        side = self.settings.side_px
        if side is None:
            return width, height
        scale = side / min(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def matrices(
        self,
        foregrounds: Sequence[int],
        poses: Float64[np.ndarray, "n k"],
        sizes_px: Sequence[tuple[int, int]],
    ) -> Float32[np.ndarray, "n 2 3"]:
        """The matrix, canvas to patch, of each paste on a canvas of its own size (width, height)."""
        if not foregrounds:
            return np.zeros((0, 2, 3), np.float32)
        hull = torch.from_numpy(np.stack([self.material.hull(i) for i in foregrounds]))
        size = np.array(sizes_px, dtype=np.float64)
        half = size / size.min(axis=1, keepdims=True)
        if self.material.square:
            half[:] = 1
        x, y = torch.from_numpy(half.astype(np.float32)).t().contiguous()
        (matrix,) = self.poses.place(torch.from_numpy(poses).float(), hull, x, y).parameters
        return matrix.numpy()
