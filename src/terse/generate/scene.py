"""Everything a worker needs to propose and draw: material, poses, edges, settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from terse.generate.planned import Planned
from terse.generate.settings import GenerateSettings
from terse.poses import PoseFamily, RasterPose
from terse.recipe import EdgeConfig
from terse.sources.material import Material

__all__ = ["Scene"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What is the same for every image of the set; it can be pickled."""

    material: Material
    poses: PoseFamily
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

    def posed(self, images: Sequence[Planned]) -> list[list[RasterPose]]:
        """The poses of each image's pastes on its canvas, ready to be drawn."""
        flat = [(paste, image, z) for image in images for z, paste in enumerate(image.pastes)]
        if not flat:
            return [[] for _ in images]
        poses = np.stack([paste.pose for paste, _, _ in flat])
        hull = np.stack([self.material.hull(paste.foreground) for paste, _, _ in flat])
        sizes_px = [(1, 1) if self.material.square else image.size_px[::-1] for _, image, _ in flat]
        posed = iter(self.poses.raster(poses, hull, sizes_px, [image.seed + z for _, image, z in flat]))
        return [list(islice(posed, len(image.pastes))) for image in images]
