"""Run small jobs over and over in one process, and watch its memory, open files and threads.

    python tools/soak.py [--seconds 7200] [--rest 0.0] [--out soak.json]

A round trains a small run with a checkpoint every few steps, stops it and goes on with it, draws its page and writes a set; every
tenth round writes one in two worker processes too. `--rest` sleeps for so many times as long as a round took. After each round a line of
JSON says what the process holds; the last one compares the median of the last quarter with that of the second: flat is at most 5%
more memory, as many open files and threads. The exit status is 1 where something grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

RUN = (
    "data.train=300", "data.val=60", "data.test=60", "cycles=1", "pretrain.epochs=1", "hardness.above=0", "pool.per_cycle=40",
    "pool.candidates=400", "synthesis.batch_size=64", "synthesis.steps=4", "synthesis.statistics_pairs=64", "fine_tune.epochs=1",
    "checkpoint.every_steps=2",
)  # fmt: skip
GROWTH, FEWEST = 1.05, 8


def main() -> None:
    """Rounds until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=7200)
    parser.add_argument("--rest", type=float, default=0.0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    began, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        draw_sources(root)
        while (at := time.monotonic()) - began < given.seconds:
            one_round(root, workers=2 if len(rows) % 10 == 0 else 0)
            rows.append({"round": len(rows) + 1, "seconds": round(time.monotonic() - began, 1), **held()})
            print(json.dumps(rows[-1]), flush=True)
            time.sleep(given.rest * (time.monotonic() - at))
    found = verdict(rows)
    print(json.dumps(found))
    if given.out is not None:
        given.out.write_text(json.dumps({"rounds": rows, **found}, indent=1) + "\n", "utf-8")
    sys.exit(not found["flat"])


def draw_sources(root: Path) -> None:
    """Cut-outs and backgrounds, drawn."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    (root / "cuts" / "disc").mkdir(parents=True)
    (root / "back").mkdir()
    alpha = np.pad(np.full((44, 44), 255, np.uint8), 8)
    for k in range(4):
        cut = np.dstack([random.integers(0, 255, (60, 60, 3)).astype(np.uint8), alpha])
        Image.fromarray(cut).save(root / "cuts" / "disc" / f"{k}.png")
        Image.fromarray(random.integers(0, 255, (240, 320, 3)).astype(np.uint8)).save(root / "back" / f"{k}.png")


def one_round(root: Path, *, workers: int) -> None:
    """A run that is stopped and goes on, its page, and a set in this process and in workers where there are any."""
    from terse.generate import generate
    from terse.generate.settings import GenerateSettings
    from terse.progress import Interrupted, Observer
    from terse.recipe import load_recipe
    from terse.report.run_page import build_run_page
    from terse.run import train

    class StopSoon(Observer):
        left = 5

        def step(self, **numbers: float) -> None:
            self.left -= 1

        def stop(self) -> bool:
            return self.left <= 0

    recipe, run = load_recipe("quickstart", RUN), root / "run"
    try:
        train(recipe, out=run, observer=StopSoon())
    except Interrupted:
        train(recipe, out=run, resume=True)
    build_run_page(run, ())
    paste = load_recipe("paste", [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}"])
    for number in {0, workers}:
        generate(paste, GenerateSettings(count=24, shard_images=8), root / f"set-{number}", workers=number)
        shutil.rmtree(root / f"set-{number}")
    shutil.rmtree(run)
    gc.collect()


def held() -> dict[str, float]:
    """Resident memory in MB, open files, threads."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "rss_mb": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "system_threads": len(list(Path("/proc/self/task").iterdir())),
    }


def verdict(rows: list[dict[str, float]]) -> dict[str, object]:
    """The second quarter of the rounds against the last: what comes before is warming up."""
    if len(rows) < FEWEST:
        return {"flat": False, "reason": f"{len(rows)} rounds tell nothing; give it more time"}
    quarter = len(rows) // 4
    early, late = rows[quarter : 2 * quarter], rows[-quarter:]
    medians = {
        name: (statistics.median(row[name] for row in early), statistics.median(row[name] for row in late))
        for name in ("rss_mb", "files", "threads", "system_threads")
    }
    flat = all(after <= before * (GROWTH if name == "rss_mb" else 1) for name, (before, after) in medians.items())
    return {"flat": flat, "rounds_run": len(rows), "seconds": rows[-1]["seconds"], "second_and_last_quarter": medians}


if __name__ == "__main__":
    main()
