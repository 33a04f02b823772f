"""Benchmarks that take their sizes start, at the smallest; what they measure is theirs alone."""

import runpy
import sys
from pathlib import Path

from forked import Forked

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALL = ["data.train=40", "data.val=20", "data.test=20", "cycles=1", "pretrain.epochs=1", "fine_tune.epochs=1"]


def run(name: str, *arguments: str) -> None:
    sys.argv = [name, *arguments]
    runpy.run_path(str(BENCHMARKS / name), run_name="__main__")


def test_a_proof_is_held_against_its_arms_alone(tmp_path: Path) -> None:
    few = ["pool.per_cycle=10", "pool.candidates=40", "hardness.above=-9"]
    with Forked(tmp_path, run, "prove.py", *SMALL, *few, "--arms", "none,random", "--rounds", "1") as process:
        out, err = process.communicate()
        assert process.returncode == 0, err
    assert "over the arms alone, one start a seed:" in out
