"""Photographs drawn by seeded code, and the files of each format around them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

PERSON = {"id": 1, "name": "person"}
DOG = {"id": 2, "name": "dog"}


def picture(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth coloured ramp with noise: never twice the same, and JPEG keeps it."""
    rng = np.random.default_rng(seed)
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    corners = rng.uniform(30, 220, (3, 3))
    ramp = corners[0] + across[..., None] * (corners[1] - corners[0]) + down[..., None] * (corners[2] - corners[0])
    return np.clip(ramp + rng.normal(0, 3, ramp.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def save() -> Callable[..., np.ndarray]:
    """Draw a picture into a file."""

    def write(path: Path, width: int = 40, height: int = 30, seed: int = 0, **options: Any) -> np.ndarray:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = picture(width, height, seed)
        Image.fromarray(pixels).save(path, **options)
        return pixels

    return write


@pytest.fixture
def coco(tmp_path: Path, save: Callable[..., np.ndarray]) -> Callable[..., tuple[Path, Path]]:
    """A COCO file and its images, two of 40x30 px, with one masked person in the first; any part can be replaced."""

    def write(size_px: tuple[int, int] = (40, 30), **parts: Any) -> tuple[Path, Path]:
        images = tmp_path / "images"
        for i, name in enumerate(("a.png", "b.png")):
            save(images / name, *size_px, seed=i)
        size = {"width": size_px[0], "height": size_px[1]}
        data = {
            "images": [
                {"id": 7, "file_name": "a.png", "license": 3, **size},
                {"id": 8, "file_name": "b.png", **size},
            ],
            "annotations": [annotation()],
            "categories": [PERSON, DOG],
            "licenses": [{"id": 3, "name": "CC BY 4.0"}],
            **parts,
        }
        file = tmp_path / "set.json"
        file.write_text(json.dumps(data))
        return file, images

    return write


def annotation(**parts: Any) -> dict[str, Any]:
    """A person at x 10 to 20, y 5 to 25, of image 7."""
    box = {"bbox": [10, 5, 10, 20], "segmentation": [[10, 5, 20, 5, 20, 25, 10, 25]]}
    return {"id": 1, "image_id": 7, "category_id": 1, "iscrowd": 0, **box, **parts}


@pytest.fixture
def note() -> Callable[..., dict[str, Any]]:
    """A person at x 10 to 20, y 5 to 25, of image 7, as a COCO annotation; any part can be replaced."""
    return annotation
