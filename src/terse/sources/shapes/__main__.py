"""Write a drawn set as a user brings one: photographs, COCO files of boxes alone, and a folder of backgrounds.

    python -m terse.sources.shapes my-data

`photographs` with `train.json` hold large, upright, whole shapes; `field` with `val.json` and `test.json` smaller, turned and cut
ones, as they come where a model works; `backgrounds` none. The same files every time.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from terse.sources.shapes.scenes import CLASSES, EASY, Scenes, Style, between

__all__ = ["main", "write_set"]

_SIDE_PX = 128
_QUALITY = 95
_GAP = 0.5


def write_set(
    out: Path, *, train: int = 160, val: int = 60, test: int = 120, backgrounds: int = 80, seed: int = 7
) -> None:
    """Write the folders and the files; what stands there under their names is overwritten."""
    field = between(_GAP)
    _write(out, "train", "photographs", train, EASY, seed)
    _write(out, "val", "field", val, field, seed)
    _write(out, "test", "field", test, field, seed)
    _write(out, "backgrounds", "backgrounds", backgrounds, None, seed)


def _write(out: Path, name: str, folder: str, count: int, style: Style | None, seed: int) -> None:
    """Images of one part, and its COCO file where it has objects."""
    (out / folder).mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    scenes = Scenes(name, count, _SIDE_PX, style, seed)
    for number, scene in enumerate(scenes.fetch(np.arange(count))):
        file = f"{name}-{number:03}.jpg"
        cv2.imwrite(str(out / folder / file), scene.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        images.append({"id": number, "file_name": file, "width": _SIDE_PX, "height": _SIDE_PX})
        for label, (x0, y0, x1, y1) in zip(scene.labels, scene.boxes_px.tolist(), strict=True):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": label + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
            )
    if style is not None:
        categories = [{"id": number, "name": one} for number, one in enumerate(CLASSES, start=1)]
        page = {"images": images, "annotations": annotations, "categories": categories}
        (out / f"{name}.json").write_text(json.dumps(page), "utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the set into the folder that is named on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m terse.sources.shapes", description="Write a drawn set of boxes alone, to try terse on."
    )
    parser.add_argument("out", type=Path, help="the folder")
    write_set(parser.parse_args(arguments).out)


if __name__ == "__main__":
    main()
