"""A step of the synthesizer and one of the target, eager and by `torch.compile`: `python benchmarks/compiled.py RECIPE ...`.

    python benchmarks/compiled.py quickstart --steps 20
    python benchmarks/compiled.py shapes data.train=40 synthesis.batch_size=8 fine_tune.batch_size=8 --steps 10

One thread, float32, seconds of CPU, the C++ compiler's included, so that other work on the machine does not count. Of each step the
median without the first two, what the first two took above that (compiling), and after how many steps compiling would be paid
back. Networks are compiled in place (`Module.compile`), which keeps the names of their weights. What the steps changed is compared.
"""

import argparse
import copy
import os
import statistics
import time

from terse.process import prepare_process

prepare_process()
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in this process, so that its time is counted
os.environ["TORCHINDUCTOR_FORCE_DISABLE_CACHES"] = "1"

import numpy as np
import torch

from terse.draws import seeds_of
from terse.modes import frozen
from terse.recipe import load_recipe
from terse.run import open_session
from terse.training.batches import mixed_batch
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_step
from terse.training.seeding import reseed
from terse.training.target_step import target_step


def cpu_seconds():
    return time.process_time() + sum(os.times()[2:4])


def steps_of(recipe, player, *, compiled, steps):
    """Seconds of each step, and what they added to the player's weights."""
    session = open_session(recipe, None)
    torch.set_num_threads(1)
    players, seed = session.players, recipe.seed
    proposer, target = players.proposer, players.target.module
    if compiled:
        torch._dynamo.reset()
        for module in (proposer.module, target, players.discriminator):
            if module is not None:
                module.compile()
    learns = proposer.module if player == "synthesizer" else target
    settings = recipe.synthesis if player == "synthesizer" else recipe.fine_tune
    before = copy.deepcopy(learns.state_dict())
    optimizer, seconds = optimizer_maker(settings.optimizer)(learns), []
    for step in range(steps):
        generator = reseed(seed, 1, player, step)
        began = cpu_seconds()
        if player == "synthesizer":
            requests = proposer.requests(seeds_of(seed, 1, player, step, count=settings.batch_size))
            with frozen(target, players.discriminator):
                synthesizer_step(session, proposer, optimizer, requests, generator)
        else:
            batch, share = mixed_batch(session, None, np.arange(settings.batch_size) % len(players.train))
            target_step(session, settings, optimizer, batch, generator, share)
        seconds.append(cpu_seconds() - began)
    weights = {name: value.double() for name, value in learns.named_parameters()}
    return seconds, torch.cat([(value.detach() - before[name]).flatten() for name, value in weights.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--player", choices=("synthesizer", "target"), action="append")
    given = parser.parse_args()
    own = ["runtime.device=cpu", "runtime.threads=1", "runtime.precision=float32"]
    recipe = load_recipe(given.recipe, [*given.overrides, *own])
    for player in given.player or ("synthesizer", "target"):
        (eager, plain), (compiled, other) = (
            steps_of(recipe, player, compiled=compiled, steps=given.steps) for compiled in (False, True)
        )
        medians = [statistics.median(seconds[2:]) for seconds in (eager, compiled)]
        spread = [np.percentile(seconds[2:], (25, 75)) * 1e3 for seconds in (eager, compiled)]
        began = sum(compiled[:2]) - 2 * medians[1]
        gain = medians[0] - medians[1]
        paid = f"after {began / gain:,.0f} steps" if gain > 0 else "never"
        apart = float((plain - other).norm() / plain.norm())
        print(
            f"{player}: eager {medians[0] * 1e3:.1f} ms ({spread[0][0]:.1f} to {spread[0][1]:.1f}), compiled "
            f"{medians[1] * 1e3:.1f} ms ({spread[1][0]:.1f} to {spread[1][1]:.1f}), compiling {began:.1f} s, paid back {paid}; "
            f"what they changed differs by {apart:.1g} of its length"
        )


if __name__ == "__main__":
    main()
