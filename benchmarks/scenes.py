"""What more objects cost in generation, and how fast people are pasted: bars of docs/generate.md.

    python benchmarks/scenes.py [objects] [people]

`objects`: eight labelled objects an image over one, by the blind arm and by the learned one, whose poses are found one
after another. `people` needs TERSE_DATA: cut-outs of person/, 0.15 to 0.75 of the canvas, on 150 photographs of 640x480.
CPU times are of one core, in interleaved rounds; the clock stands beside where a bar is by the clock.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

from terse.process import prepare_process

prepare_process()

import cv2
import torch

sys.path.insert(0, str(Path(__file__).parent))

from generate import PER_ROUND, QUALITY, ceiling, draw_world, recipe_of, shard_of
from terse.export.coco import CocoExporter
from terse.generate import GenerateSettings, generate
from terse.generate.draw import Drawing
from terse.generate.shard import Job, Worker
from terse.generate.trained import SetPlayers, of_recipe
from terse.poses import build_poses
from terse.recipe import Recipe, load_recipe
from terse.requests import Limits
from terse.sources.material import Material
from terse.sources.run_data import paste_data
from terse.synthesis.learned.config import LearnedConfig
from terse.synthesis.materials import materials_of

ROUNDS = 9
MANY = 8
WARM_UP = 60  # rounds until nearly all cut-outs are known: a set is as many images as one likes


def main(arguments: Sequence[str]) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    for name in arguments or ("objects", "people"):
        print(f"\n## {name}")
        with tempfile.TemporaryDirectory() as folder:
            {"objects": objects, "people": people}[name](Path(folder))


def objects(root: Path) -> None:
    """Whole composites: poses, limits of overlap, pixels, labels, JPEG.

    Objects of 0.15 to 0.35 of the canvas's height, and for comparison of 0.38 to 0.46, of which eight would fill it: two
    of three places are then refused.
    """
    draw_world(root)
    crowded = recipe_of(root)
    sources = [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}"]
    recipe = load_recipe("paste", [*sources, "poses.scale=[0.15, 0.35]"])
    rows = {
        f"{arm}, {number} objects": shards(
            crowded if arm == "crowded" else recipe, root / f"{arm}{number}", number, learned=arm == "learned"
        )
        for arm in ("blind", "learned", "crowded")
        for number in (1, MANY)
    }
    found = interleaved(rows, PER_ROUND)
    for name, times in found.items():
        print(f"{name}: {statistics.median(times):.2f} ms ({min(times):.2f} to {max(times):.2f})")
    for arm in ("blind", "learned", "crowded"):
        one, many = (statistics.median(found[f"{arm}, {number} objects"]) for number in (1, MANY))
        print(f"{arm}: {MANY} objects over one {many / one:.2f} (bar: 4)")


def people(root: Path) -> None:
    """In this process by CPU time, and one worker by the clock, against reading, decoding, encoding and writing alone."""
    data = Path(os.environ["TERSE_DATA"])
    (root / "back").mkdir()
    for k, file in enumerate(sorted((data / "coco80" / "images").glob("*.jpg"))[:150]):
        photo = cv2.resize(cv2.imread(str(file)), (640, 480), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / "back" / f"{k:03d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 95])
    person = [f"foregrounds.coco={data}/person/train.json", f"foregrounds.images={data}/person/images"]
    recipe = load_recipe("paste", [*person, f"backgrounds.images={root / 'back'}"])
    (root / "ceiling").mkdir()
    rows = {
        "ceiling": ceiling(sorted((root / "back").iterdir()), root / "ceiling"),
        "terse": shards(recipe, root / "set", 1, warm_up=WARM_UP),
    }
    found = {name: statistics.median(times) for name, times in interleaved(rows, PER_ROUND).items()}
    print(f"CPU ms an image: {found}; terse has {found['ceiling'] / found['terse']:.2f} of the ceiling (bar: 0.75)")
    before, seconds = by_clock(rows["ceiling"], 100), {}
    for count in (1024, 4096):
        seconds[count] = generate(recipe, GenerateSettings(count=count), root / f"set{count}", workers=1)["seconds"]
    steady, least = 3072 / (seconds[4096] - seconds[1024]), (before + by_clock(rows["ceiling"], 200)) / 2
    print(f"one worker by the clock, steady: {steady:.0f} images/s of {least:.0f}: {steady / least:.2f} (bar: 0.75)")
    print(f"load {os.getloadavg()[0]:.1f}")


def by_clock(run: Callable[[int], None], first: int) -> float:
    """Images a second of these rounds."""
    began = time.perf_counter()
    for round_ in range(first, first + ROUNDS):
        run(round_)
    return ROUNDS * PER_ROUND / (time.perf_counter() - began)


def shards(recipe: Recipe, out: Path, number: int, *, learned: bool = False, warm_up: int = 2) -> Callable[[int], None]:
    """One shard of 128 images a round, as a worker makes it."""
    data = paste_data(recipe)
    material = Material(data.foregrounds, data.backgrounds, data.classes)
    origin, settings = of_recipe(recipe, data), GenerateSettings(count=100_000, quality=QUALITY)
    limits = Limits(objects=(number, number))

    def players() -> SetPlayers:
        return SetPlayers(network(recipe, data, number)) if learned else origin.load()

    out.mkdir()
    drawing = Drawing(material, build_poses(recipe.poses), recipe.edges, settings)
    worker = Worker(Job(drawing, CocoExporter(), out, 100_000, {}, players, limits))

    def run(round_: int) -> None:
        worker.make(shard_of(round_, number))

    for round_ in range(warm_up):
        run(900 + round_)
    return run


def network(recipe: Recipe, data: Any, number: int) -> Any:
    """An untrained synthesizer whose features are kept, as `generate` of a run has it."""
    settings = LearnedConfig(
        network="photographs", backbone="mobilenet_v2", branch_channels=64, base="random", objects=(1, max(2, number))
    )
    proposer = settings.build(materials_of(recipe, data, None))
    proposer.keep_features()
    return proposer


def interleaved(rows: dict[str, Callable[[int], None]], images: int) -> dict[str, list[float]]:
    """CPU milliseconds an image of each round."""
    found: dict[str, list[float]] = {name: [] for name in rows}
    for round_ in range(ROUNDS):
        for name, run in rows.items():
            began = time.process_time()
            run(round_)
            found[name].append((time.process_time() - began) / images * 1e3)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
