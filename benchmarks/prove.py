"""What a proof costs over its arms run alone: the bar is 1.05.

    uv run python benchmarks/prove.py [--rounds N] [--arms none,random,mined,learned] [key=value ...]

CPU seconds of `prove`, everything included (starts, arms, measurements beside the result, audits, verdict; not the
page), over the sum of the CPU seconds of `train` with each of its arms and seeds. One process and one thread, so that
nothing runs beside; shared starts count in the proof's favour, and stand in a row of their own: over the arms without
them a proof may only be dearer.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from terse.process import prepare_process

prepare_process()

import torch

from terse.proof.arms import NO_ARM, Arm, arm_recipe, parse_arms
from terse.proof.prove import prove
from terse.recipe import load_recipe
from terse.run import train
from terse.sources.run_data import run_data

SMALL = ["data.train=1500", "data.val=300", "data.test=500", "cycles=3", "pool.per_cycle=300"]


def main() -> None:
    """Print the ratio, median and spread, and where the difference lies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", default=SMALL)
    parser.add_argument("--recipe", default="quickstart")
    parser.add_argument("--arms", default="none,random,mined,learned")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    recipe = load_recipe(options.recipe, [*options.settings, "runtime.threads=1"])
    arms, data = [Arm.parse(arm) for arm in parse_arms(options.arms)], run_data(recipe)
    ratios, bare = [], []
    with tempfile.TemporaryDirectory() as folder:  # the first run of a process pays for imports and warm-up
        prove(recipe.model_copy(update={"cycles": 1}), out=Path(folder) / "proof", arms=arms, seeds=1, data=data)
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            prove(recipe, out=Path(folder) / "proof", arms=arms, seeds=options.seeds, data=data)
            together = time.process_time() - began
            alone = start = 0.0
            for seed in range(recipe.seed, recipe.seed + options.seeds):
                for arm in arms:
                    began = time.process_time()
                    train(arm_recipe(recipe, arm, seed), out=Path(folder) / f"{arm.name}-{seed}", data=data)
                    alone += time.process_time() - began
                began = time.process_time()
                only = arm_recipe(recipe, NO_ARM, seed).model_copy(update={"cycles": 0})
                train(only, out=Path(folder) / f"start-{seed}", data=data)
                start += time.process_time() - began
        shared = start * (len(arms) - 1)
        ratios.append(together / alone)
        bare.append(together / (alone - shared))
        print(f"proof {together:.1f} s, arms alone {alone:.1f} s, of which starts again {shared:.1f} s", flush=True)
    for name, values in (("over the arms alone", ratios), ("over the arms alone, one start a seed", bare)):
        print(f"{name}: {statistics.median(values):.3f} ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
