"""A detection task drawn at run time, and what an arm is built from."""

from collections.abc import Callable

import pytest

from terse.poses import AffinePoses
from terse.recipe_parts import EdgeConfig
from terse.sources.shapes.config import ShapesConfig
from terse.synthesis.materials import Materials


@pytest.fixture(scope="session")
def shapes() -> Callable[..., Materials]:
    """Circles, squares and triangles; the task's classes and the poses may be others."""

    def build(
        *, classes: tuple[str, ...] | None = None, poses: AffinePoses | None = None, train: int = 60
    ) -> Materials:
        data = ShapesConfig(train=train, val=10, test=10, backgrounds=12).build()
        poses = poses or AffinePoses(
            (-90.0, 90.0), (-1.0, 1.0), (-0.2, 0.2), (0.15, 0.6), stretch=(0.8, 1.25), min_visible=0.3
        )
        return Materials(
            data.foregrounds, data.backgrounds, poses, EdgeConfig(), data.train, classes or data.classes, 96, seed=0
        )

    return build
