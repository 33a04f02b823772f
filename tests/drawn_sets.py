"""Small sets drawn by seeded code: COCO files of two classes, and recipes that paste from one on another."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from terse.recipe import Recipe, load_recipe


def picture(random: np.random.Generator, width: int, height: int) -> np.ndarray:
    noise = cv2.GaussianBlur(random.normal(0, 1, (height, width, 3)), (0, 0), 5)
    return np.clip(128 + 50 * noise / noise.std(), 0, 255).astype(np.uint8)


def coco_of(folder: Path, images: int, size_px: tuple[int, int], per_image: int, seed: int) -> Path:
    """Images with round and square things on them, annotated with run lengths and polygons."""
    random = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    width, height = size_px
    listed: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for i in range(images):
        pixels = picture(random, width, height)
        for k in range(per_image):
            side = int(random.integers(height // 4, height // 2))
            x, y = int(random.integers(0, width - side)), int(random.integers(0, height - side))
            colour = random.integers(0, 256, 3).tolist()
            if k % 2:
                points = np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]])
            else:
                points = cv2.ellipse2Poly((x + side // 2, y + side // 2), (side // 2, side // 2), 0, 0, 360, 15)
            cv2.fillPoly(pixels, [points.astype(np.int32)], colour)
            (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": i,
                    "category_id": 5 + k % 2,
                    "bbox": [left, top, right - left, bottom - top],
                    "area": side * side,
                    "iscrowd": 0,
                    "segmentation": [points.reshape(-1).tolist()],
                }
            )
        cv2.imwrite(str(folder / "images" / f"{i:03d}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])
        listed.append({"id": i, "file_name": f"{i:03d}.jpg", "width": width, "height": height, "license": 1 + i % 2})
    data = {
        "images": listed,
        "annotations": annotations,
        "categories": [{"id": 5, "name": "ball"}, {"id": 6, "name": "Kästchen"}],
        "licenses": [{"id": 1, "name": "CC BY 4.0"}, {"id": 2, "name": "CC0"}],
    }
    file = folder / "set.json"
    file.write_text(json.dumps(data), "utf-8")
    return file


def recipe_of(world: Path, *overrides: str) -> Recipe:
    fore = world / "fore"
    return load_recipe(
        "paste", [f"foregrounds.coco={fore / 'set.json'}", f"foregrounds.images={fore / 'images'}", *overrides]
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything in a folder by relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def labelled_backgrounds(world: Path) -> Recipe:
    """Backgrounds that hold objects of the same classes."""
    back = world / "back"
    return recipe_of(world, f"backgrounds.coco={back / 'set.json'}", f"backgrounds.images={back / 'images'}")


def draw_world(root: Path) -> Path:
    """`fore` and `back`, each a COCO file and its images."""
    coco_of(root / "fore", 6, (120, 90), 2, seed=1)
    coco_of(root / "back", 5, (160, 120), 2, seed=2)
    return root
