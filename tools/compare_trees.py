"""Compare this tree with another commit on the same machine: are runs and sets equal, and what do they cost?

    uv run python tools/compare_trees.py [--base 98f7ad4] [--rounds 9] [--only train generate paste.py ...]

The other commit gets a worktree in a temporary folder. Both trees run the same commands in turn, with one thread and the
interpreter at hand: `terse train quickstart` with small overrides, `terse generate` from drawn cut-outs, and each of
`benchmarks/*.py` that both trees hold. For the run the table says whether its metrics are equal, for the set whether its
files are; for all the medians of CPU time and the ratio, this tree over the other. Ctrl-C ends it with the table of what was
measured. A benchmark that cannot run here (peers
or data are missing) says why. The exit status is 1 where a ratio is over the limit, or one tree alone fails.
"""

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BASE, ROUNDS, LIMIT = "98f7ad4", 9, 1.10
SMALL_RUN = (
    "data.train=300",
    "data.val=60",
    "data.test=60",
    "cycles=2",
    "pretrain.epochs=1",
    "hardness.above=0",
    "pool.per_cycle=40",
    "pool.candidates=400",
    "synthesis.batch_size=64",
    "synthesis.steps=20",
    "fine_tune.epochs=2",
)
SET_IMAGES = 200
_NOT_COMPARED = ("manifest.json", "placements.parquet", "report.html")
_NOT_MEASURED = ("out", "format", "environment", "waiting_share")


@dataclass
class Job:
    """One command, and what became of it in each tree."""

    name: str
    command: Sequence[str]
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"here": [], "base": []})
    wall: dict[str, list[float]] = field(default_factory=lambda: {"here": [], "base": []})
    made: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def main() -> int:
    """Run the jobs in both trees in turn, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default=BASE, help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", nargs="+", metavar="JOB", help="train, generate, names of benchmarks; all by default")
    parser.add_argument("--limit", type=float, default=LIMIT, help="ratio of times that is too much")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="terse-compare-") as temporary:
        folder, base = Path(temporary), Path(temporary) / "base"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", base, options.base], check=True
        )
        jobs: list[Job] = []
        try:
            draw_world(folder / "world")
            trees = {"here": ROOT, "base": base}
            jobs = jobs_of(trees, folder / "world", options.only)
            for number in range(options.rounds):
                for job in [job for job in jobs if not job.failed]:
                    for tree in ("here", "base") if number % 2 else ("base", "here"):
                        run(job, tree, trees[tree], folder / "out")
                print(f"round {number + 1} of {options.rounds} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
        except KeyboardInterrupt:
            if not jobs or not all(all(job.cpu.values()) for job in jobs if not job.failed):
                raise
            print(
                f"interrupted in round {number + 1} of {options.rounds}: what was measured until then", file=sys.stderr
            )
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", base], check=True)
    return report(jobs, options.limit)


def jobs_of(trees: dict[str, Path], world: Path, only: Sequence[str] | None) -> list[Job]:
    """The run, the set, and the benchmarks that both trees hold."""
    terse = (sys.executable, "-m", "terse")
    pasted = (f"foregrounds.cutouts={world / 'cuts'}", f"backgrounds.images={world / 'back'}")
    shared = sorted({p.name for p in (trees["here"] / "benchmarks").glob("*.py")} & _names(trees["base"]))
    jobs = [
        Job("train", (*terse, "train", "quickstart", *SMALL_RUN, "--out", "OUT")),
        Job("generate", (*terse, "generate", "paste", *pasted, *f"--count {SET_IMAGES} --workers 0 --out OUT".split())),
        *(Job(name, (sys.executable, f"benchmarks/{name}")) for name in shared),
    ]
    unknown = set(only or ()) - {job.name for job in jobs}
    if unknown:
        raise SystemExit(f"--only: expected {', '.join(job.name for job in jobs)}, got {', '.join(sorted(unknown))}")
    return [job for job in jobs if only is None or job.name in only]


def run(job: Job, tree: str, root: Path, out: Path) -> None:
    """The job once in one tree: its times, and what it made."""
    shutil.rmtree(out, ignore_errors=True)
    environment = {
        **os.environ,
        "PYTHONPATH": str(root / "src"),
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
    }
    began = time.monotonic()
    command = [str(out) if word == "OUT" else word for word in job.command]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        last = (errors.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    job.wall[tree].append(time.monotonic() - began)
    job.cpu[tree].append(usage.ru_utime + usage.ru_stime)
    if process.returncode:
        job.failed[tree] = last
    elif tree not in job.made and out.is_dir():
        job.made[tree] = metrics(out) if (out / "result.json").is_file() else files(out)


def metrics(out: Path) -> dict[str, Any]:
    """What a run measured, times left out."""
    lines = (out / "metrics.jsonl").read_text("utf-8").splitlines()
    result = json.loads((out / "result.json").read_text("utf-8"))
    return dict(_leaves({"metrics.jsonl": [json.loads(line) for line in lines], **result}, ""))


def files(out: Path) -> dict[str, str]:
    """The files of a set by their hashes, those left out that hold versions."""
    every = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in _NOT_COMPARED]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in every}


def report(jobs: Sequence[Job], limit: float) -> int:
    """The table; 1 where a ratio is over the limit or one tree alone fails."""
    print("| job | equal | CPU s, here | CPU s, base | ratio | wall ratio |\n| --- | --- | --- | --- | --- | --- |")
    bad = False
    for job in jobs:
        if job.failed:
            alone = "" if len(job.failed) == 2 else f" ({next(iter(job.failed))} alone)"
            print(f"| {job.name} | cannot run{alone}: {next(iter(job.failed.values()))} | | | | |")
            bad |= len(job.failed) == 1
            continue
        # A round that was interrupted may have one tree alone.
        here, base = (statistics.median(job.cpu[tree]) for tree in ("here", "base"))
        ratio = statistics.median(a / b for a, b in zip(job.cpu["here"], job.cpu["base"], strict=False))
        wall = statistics.median(a / b for a, b in zip(job.wall["here"], job.wall["base"], strict=False))
        mark = " over" if ratio > limit else ""
        print(f"| {job.name} | {equality(job)} | {here:.2f} | {base:.2f} | {ratio:.3f}{mark} | {wall:.3f} |")
        bad |= ratio > limit
    return int(bad)


def equality(job: Job) -> str:
    """Whether both trees made the same, and how many of its parts differ."""
    if not job.made:
        return "-"
    here, base = job.made["here"], job.made["base"]
    differing = sorted(key for key in {*here, *base} if here.get(key) != base.get(key))
    return "yes" if not differing else f"no: {len(differing)} of {len({*here, *base})} ({', '.join(differing[:3])})"


def draw_world(folder: Path) -> None:
    """Twelve backgrounds of 320x240 and eight cut-outs."""
    random = np.random.default_rng(0)
    for name in ("back", "cuts/disc", "cuts/box"):
        (folder / name).mkdir(parents=True)
    for k in range(12):
        blotches = random.uniform(0, 255, (9, 12, 3)).astype(np.float32)
        photo = np.clip(cv2.resize(blotches, (320, 240), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)
        cv2.imwrite(str(folder / "back" / f"{k}.png"), photo)
    for k in range(8):
        alpha = np.zeros((90, 90), np.uint8)
        if k % 2:
            cv2.rectangle(alpha, (10, 20), (80, 70), 255, -1)
        else:
            cv2.circle(alpha, (45, 45), 40, 255, -1)
        colours = np.tile(random.integers(0, 256, (1, 1, 3)), (90, 90, 1)).astype(np.uint8)
        cv2.imwrite(str(folder / ("cuts/box" if k % 2 else "cuts/disc") / f"{k}.png"), np.dstack([colours, alpha]))


def _names(tree: Path) -> set[str]:
    return {path.name for path in (tree / "benchmarks").glob("*.py")}


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each number and word by its path, times left out."""
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key not in _NOT_MEASURED and "seconds" not in str(key):
                yield from _leaves(item, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


if __name__ == "__main__":
    raise SystemExit(main())
