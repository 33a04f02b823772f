"""A small world drawn by seeded code: cut-outs of two classes in a COCO file, plain and labelled backgrounds."""

from pathlib import Path

import pytest

from drawn_sets import draw_world, labelled_backgrounds, recipe_of
from terse.recipe import Recipe


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fore` and `back`, each a COCO file and its images."""
    return draw_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def plain(world: Path) -> Recipe:
    """Backgrounds without labels."""
    return recipe_of(world, f"backgrounds.images={world / 'back' / 'images'}")


@pytest.fixture(scope="session")
def labelled(world: Path) -> Recipe:
    """Backgrounds that hold objects of the same classes."""
    return labelled_backgrounds(world)
