"""What does not fit a large job: planner, index and COCO assembly at millions of placements, and a bank of a million.

    python benchmarks/scale.py plan --count 10000000
    python benchmarks/scale.py assemble --count 10000000
    python benchmarks/scale.py bank --count 1000000

Each part is a process of its own, so that its memory is its own; one JSON object a part, on stdout.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def memory_mb():
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


class Clock:
    """Seconds of each step, memory at its end."""

    def __init__(self, count):
        self.found = {"count": count, "before_mb": memory_mb()}
        self._at = time.perf_counter()

    def lap(self, name):
        now = time.perf_counter()
        self.found |= {f"{name}_s": round(now - self._at, 2), f"{name}_mb": memory_mb()}
        self._at = time.perf_counter()


def plan(count, folder):
    """Which classes 10 million scenes hold, and their shards; each is then pickled, as an executor does."""
    import pickle
    from types import SimpleNamespace

    from terse.generate.plan import shards_of_scenes
    from terse.generate.settings import GenerateSettings
    from terse.requests import Limits

    classes = tuple(f"class {i}" for i in range(80))
    bank = SimpleNamespace(classes=classes, labels=np.arange(1000) % 80)
    material = SimpleNamespace(foregrounds=bank, classes=classes)
    clock = Clock(count)
    shards = shards_of_scenes(GenerateSettings(count=count, objects=(1, 3)), Limits(objects=(1, 3)), material, 128)
    clock.lap("plan")
    sizes = [len(pickle.dumps(shard)) for shard in shards[:: max(1, len(shards) // 1000)]]
    clock.lap("pickled")
    return clock.found | {"shards": len(shards), "bytes_a_shard": int(np.mean(sizes))}


def assemble(count, folder):
    """Parts of shards with 128 images of one object each, joined to `annotations.json` and `placements.parquet`."""
    import pyarrow.parquet as pq

    from terse.export.coco import CocoExporter
    from terse.export.sample import SetInfo
    from terse.generate.manifest import assemble_common

    size = 128
    clock = Clock(count)
    parts = []
    table = _table(size)
    for number in range(-(-count // size)):
        part = folder / "parts" / f"{number:06d}"
        part.mkdir(parents=True)
        images = range(number * size, min(count, (number + 1) * size))
        (part / "images.jsonl").write_text("".join(_image(i) for i in images), "utf-8")
        (part / "annotations.jsonl").write_text("".join(_object(i) for i in images), "utf-8")
        (part / "licences.txt").write_text("", "utf-8")
        (part / "SHA256SUMS").write_text("".join(f"{i:064x}  {i:09d}.jpg\n" for i in images), "utf-8")
        pq.write_table(table, part / "placements.parquet", compression="zstd")
        parts.append(part)
    clock.lap("parts")
    out = folder / "set"
    out.mkdir()
    CocoExporter().assemble(out, parts, SetInfo(tuple(f"class {i}" for i in range(80)), ".jpg", "rle"))
    clock.lap("coco")
    assemble_common(out, parts, ["images/"] * len(parts))
    clock.lap("common")
    return clock.found | {"annotations_mb": (out / "annotations.json").stat().st_size >> 20}


def _image(number):
    return (
        f'{{"id": {number}, "file_name": "{number:09d}.jpg", "width": 640, "height": 480, '
        f'"background": "photographs:{number % 5000:06d}.jpg", "blend": "alpha"}}\n'
    )


def _object(number):
    return (
        f'{{"image_id": {number}, "category_id": {number % 80 + 1}, "bbox": [10, 20, 30, 40], "area": 900, "iscrowd": 0, '
        '"segmentation": {"size": [480, 640], "counts": "PPY16Y>5J6J4M3L4M2N2N2O0O2O00001O0O2O1N2N3M3L5Ik\\\\d5"}, '
        '"visible_fraction": 1.0, "z": 0, "pasted": true}\n'
    )


def _table(size):
    import pyarrow as pa

    rng = np.random.default_rng(0)
    poses = {f"0.affine.{name}": rng.random(size) for name in ("x", "y", "scale", "rotation")}
    texts = {name: [f"{name}:{i:06d}" for i in range(size)] for name in ("background", "foreground", "class")}
    return pa.table({"image": np.arange(size), **texts, **poses})


def bank(count, folder):
    """A million small cut-outs on a few sheets, as a COCO file lists them: opened, and read at random."""
    import cv2

    side, cell = 256, 16
    per_sheet = (side // cell) ** 2
    sheets = -(-count // per_sheet)
    rng = np.random.default_rng(0)
    (folder / "sheets").mkdir()
    for sheet in range(sheets):
        cv2.imwrite(str(folder / "sheets" / f"{sheet:06d}.jpg"), rng.integers(0, 255, (side, side, 3), dtype=np.uint8))
    with (folder / "coco.json").open("w", encoding="utf-8") as file:
        images = [{"id": i, "file_name": f"{i:06d}.jpg", "width": side, "height": side} for i in range(sheets)]
        categories = [{"id": i + 1, "name": f"class {i}"} for i in range(80)]
        file.write(json.dumps({"images": images, "categories": categories})[:-1] + ', "annotations": [')
        for i in range(count):
            sheet, at = divmod(i, per_sheet)
            y, x = (at // (side // cell)) * cell, (at % (side // cell)) * cell
            ring = [x + 1, y + 1, x + 14, y + 1, x + 14, y + 14, x + 1, y + 14]
            file.write(
                f'{"," if i else ""}{{"id": {i}, "image_id": {sheet}, "category_id": {i % 80 + 1}, "iscrowd": 0, '
                f'"area": 169, "bbox": [{x + 1}, {y + 1}, 13, 13], "segmentation": [{ring}]}}'
            )
        file.write("]}")
    del images, categories
    time.sleep(3)  # files that were written this moment are not kept
    command = [sys.executable, __file__, "open", "--count", str(count), "--folder", str(folder)]
    environment = os.environ | {"XDG_CACHE_HOME": str(folder / "cache")}
    runs = [subprocess.run(command, env=environment, capture_output=True, check=True, text=True) for _ in range(2)]
    first, again = (json.loads(run.stdout) for run in runs)
    return {"count": count, "first": first, "again": again}


def open_bank(count, folder):
    """The bank as a start of terse opens it, and some of its foregrounds."""
    from terse.sources.cleanup import examine
    from terse.sources.coco import CocoConfig
    from terse.sources.photo_foregrounds import PhotoForegrounds

    clock = Clock(count)
    annotations = CocoConfig(coco=folder / "coco.json", images=folder / "sheets").build()
    clock.lap("read")
    made = PhotoForegrounds(annotations, patch_px=32)
    clock.lap("bank")
    found = clock.found | _access(made, count)
    looked_at = range(min(count, 10_000))
    busy = time.process_time()
    examine(annotations, objects=looked_at)
    return found | {"cleanup_ms": round((time.process_time() - busy) / len(looked_at) * 1000, 2)}


def _access(made, count):
    """Milliseconds of one foreground, of the first thousandth of the bank and of all of it."""
    made.fetch(np.array([count - 1]))  # imports torch
    rng, found = np.random.default_rng(1), {}
    for name, most in (("near", max(1, count // 1000)), ("anywhere", count)):
        began = time.perf_counter()
        for index in rng.integers(most, size=60):
            made.fetch(np.array([index]))
        found[f"{name}_ms"] = round((time.perf_counter() - began) / 60 * 1000, 2)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("plan", "assemble", "bank", "open"))
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="for what is written; a temporary one by default")
    given = parser.parse_args()
    if given.part == "open":  # what `bank` starts, twice
        print(json.dumps(open_bank(given.count, given.folder)))
        sys.exit()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        print(json.dumps({"part": given.part, **globals()[given.part](given.count, Path(made))}))
