"""The page of a run with 5,000 pooled composites: seconds, megabytes, and what the browser makes of them.

Bars: under 20 s and under 25 MB. `--images FOLDER` takes photographs; without it drawn scenes, which are harder to
compress than most photographs. Rendering the composites is not in the seconds of `page`: see `photographs.py`.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from terse.pictures.gallery import Gallery, GalleryItem, Streamed
from terse.pictures.page_folder import Shown
from terse.report.page import build_page
from terse.report.parts import PageData
from terse.tasks.answers import Box


def photographs(folder: Path | None, side_px: int, kept: int = 200) -> list[np.ndarray]:
    """So many pictures, drawn or read, squashed to a square."""
    if folder is not None:
        files = sorted(itertools.chain(folder.glob("*.jpg"), folder.glob("*.png")))[:kept]
        return [np.asarray(Image.open(file).convert("RGB").resize((side_px, side_px))) for file in files]
    draw = np.random.default_rng(0)
    pictures = []
    for _ in range(kept):
        coarse = Image.fromarray(draw.integers(0, 255, (9, 9, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side_px, side_px), Image.Resampling.BICUBIC), dtype=np.float64)
        pictures.append(np.clip(smooth + draw.normal(0, 8, smooth.shape), 0, 255).astype(np.uint8))
    return pictures


def composites(pictures: list[np.ndarray], count: int) -> Iterator[GalleryItem]:
    """Pictures with an ellipse as their object's mask."""
    draw = np.random.default_rng(1)
    side = pictures[0].shape[0]
    rows, columns = np.mgrid[:side, :side]
    for number in range(count):
        x, y, a, b = draw.uniform((0.2, 0.2, 0.05, 0.05), (0.8, 0.8, 0.3, 0.3)) * side
        mask = ((columns - x) / a) ** 2 + ((rows - y) / b) ** 2 < 1
        yield GalleryItem(
            image=pictures[number % len(pictures)],
            class_name="person",
            boxes=[Box((x - a, y - b, x + a, y + b), "person")],
            masks=[mask],
            cycle=1 + 5 * number // count,
            hardness=float(draw.beta(4, 2)),
            arm="learned",
            record={
                "background": f"coco80:{number}.jpg",
                "pastes": [{"foreground": f"person:{number}.jpg:7", "pose": dict.fromkeys("abcdef", 0.12345)}],
                "blend": "alpha",
                "seed": 0,
            },
        )


def main() -> None:
    """Build the page three times and print the middle."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--side", type=int, default=300)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    pictures = photographs(options.images, options.side)
    seconds, of_cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = options.out or Path(folder) / "report.html"
        for _ in range(options.repeats):
            gallery = Gallery(Streamed(options.count, composites(pictures, options.count)))
            begun, spent = time.perf_counter(), time.process_time()
            build_page(PageData(title="Benchmark", kind="train", shown=Shown(gallery=gallery)), path)
            seconds.append(time.perf_counter() - begun)
            of_cpu.append(time.process_time() - spent)
        size = path.stat().st_size / 1e6
    spread = f"{min(seconds):.1f} to {max(seconds):.1f}"
    print(
        f"{options.count} composites of {options.side} px: {statistics.median(seconds):.1f} s ({spread}), "
        f"{statistics.median(of_cpu):.1f} s of CPU, {size:.1f} MB"
    )


if __name__ == "__main__":
    main()
