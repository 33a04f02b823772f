"""Real images beside the composites: those that train, and those that judge, as shards of the same set."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from terse.generate.draw import Drawing
from terse.generate.plan import Shard
from terse.placements import Placements
from terse.recipe import Recipe
from terse.sources.material import Material
from terse.sources.run_data import real_images

__all__ = ["VAL", "real_drawings", "real_placements", "shards_of_real"]

VAL = "val"
"""The split that judges; all else of a set trains."""


def real_drawings(recipe: Recipe, drawing: Drawing) -> dict[str, Drawing]:
    """For each split, a drawing whose backgrounds are its real images; none where the set is to have composites alone.

    Raises:
        RecipeError: the recipe names no real images to train on.
        DataError: they cannot be read.
    """
    if not drawing.settings.with_real:
        return {}
    material = drawing.material
    banks = real_images(recipe, material.classes)
    materials = {name: Material(material.foregrounds, bank, material.classes) for name, bank in banks.items()}
    return {name: replace(drawing, material=found) for name, found in materials.items()}


def shards_of_real(drawings: Mapping[str, Drawing], first_shard: int, first_image: int, size: int) -> list[Shard]:
    """The splits' images, so many a shard, numbered after the composites."""
    shards: list[Shard] = []
    for name, drawing in drawings.items():
        total = len(drawing.material.backgrounds)
        for row in range(0, total, size):
            rows = range(row, min(row + size, total))
            shards.append(Shard(first_shard + len(shards), first_image, split=name, rows=rows))
            first_image += len(rows)
    return shards


def real_placements(drawing: Drawing, shard: Shard) -> Placements:
    """The shard's images as backgrounds on which nothing is pasted."""
    rows, none = np.array(shard.rows, dtype=np.int64), np.zeros(0, dtype=np.int64)
    return Placements(
        background=rows,
        image_index=none,
        foreground=none,
        pose=np.zeros((0, drawing.poses.size)),
        role=none,
        texture=none,
        blend=("",) * len(rows),
        seed=np.zeros_like(rows),
        number=shard.first_image + np.arange(len(rows)),
        size_px=np.array([drawing.canvas_px(row) for row in rows.tolist()], dtype=np.int64),
    )
