"""Everything a worker needs to propose and draw: material, poses, edges, settings."""

from dataclasses import dataclass

import numpy as np

from terse.generate.settings import GenerateSettings
from terse.placements import Placements
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
        return self.asked_px(self.material.backgrounds.size_px(background))

    def asked_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The size with the shorter side that was asked for, if one was."""
        width, height = size_px
        side = self.settings.side_px
        if side is None:
            return width, height
        scale = side / min(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def posed(self, placements: Placements) -> list[RasterPose]:
        """The pose of each paste on its image's canvas, ready to be drawn."""
        if not len(placements.foreground):
            return []
        index = placements.image_index
        hull = np.stack([self.material.hull(i) for i in placements.foreground.tolist()])
        sizes_px = placements.size_px[index, ::-1] if not self.material.square else np.ones((len(index), 2), int)
        z = np.arange(len(index)) - placements.offsets[index]
        sizes = [(height, width) for height, width in sizes_px.tolist()]
        return list(self.poses.raster(placements.pose, hull, sizes, (placements.seed[index] + z).tolist()))
