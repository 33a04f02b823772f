"""What a synthesizer learns against a frozen target, step by step: `python benchmarks/synthesizer_progress.py RECIPE ...`.

    python benchmarks/synthesizer_progress.py coco-person-small pretrain=null target.weights=runs/start/target.pth \
        test=null synthesis.discriminator=false --steps 150 --every 75

Before the first step and every so often, the same 128 pairs are posed and judged: how many are hard, how hard they are
in the mean, where the poses' numbers stand, and random poses beside them. In between, the target's loss on the steps'
own composites and the length of the gradient. It answers why a learned arm does no better than a random one: because
it has not learned yet, or because what it learned does not help.
"""

import argparse
import statistics
import time

from terse.process import prepare_process

prepare_process()

import numpy as np
import torch

from terse.draws import seeds_of
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.blind import BlindProposer
from terse.synthesis.proposer import propose
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_step
from terse.training.realism import warm_up_phase
from terse.training.seeding import reseed

_PAIRS, _BATCH = 128, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--every", type=int, default=75)
    given = parser.parse_args()
    session = open_session(load_recipe(given.recipe, [*given.overrides, "runtime.threads=1"]), None)
    torch.set_num_threads(1)
    players, seed = session.players, session.recipe.seed
    proposer, settings = players.proposer, session.recipe.synthesis
    warm_up_phase(session, 1)
    for module in (players.target.module, players.discriminator):
        if module is not None:
            module.requires_grad_(False)
    optimizer = optimizer_maker(settings.optimizer)(proposer.module)
    blind = BlindProposer(players.materials, _BATCH)
    print(
        f"{'step':>5} {'hard':>5} {'hardness':>8}  pose, mean and deviation: {', '.join(players.materials.poses.names)}"
    )
    judge(session, blind, "blind")
    judge(session, proposer, 0)
    losses, norms, began = [], [], time.perf_counter()
    for step in range(given.steps):
        requests = proposer.requests(seeds_of(seed, 1, "synthesizer", step, count=settings.batch_size))
        *_, loss = synthesizer_step(session, proposer, optimizer, requests, reseed(seed, 1, "synthesizer", step))
        losses.append(loss)
        norms.append(
            float(torch.stack([p.grad.norm() for p in proposer.module.parameters() if p.grad is not None]).norm())
        )
        if (step + 1) % given.every == 0:
            judge(session, proposer, step + 1)
            print(
                f"      target's loss {statistics.mean(losses):.3f}, gradient {statistics.median(norms):.0f} in the median, "
                f"{max(norms):.0f} at most, {(time.perf_counter() - began) / (step + 1):.2f} s a step"
            )
            losses, norms = [], []


def judge(session, proposer, step) -> None:
    """The same pairs each time."""
    players = session.players
    hard, hardness, poses = 0, [], []
    for number in range(_PAIRS // _BATCH):
        placements = propose(proposer, _BATCH, session.recipe.seed, 1, "judge", number)
        with torch.no_grad():
            drawn = players.materials.render(placements)
        verdict = players.rule.judge(players.target, drawn.images, drawn.truth)
        hard += int(verdict.hard.sum())
        hardness += verdict.hardness.tolist()
        poses.append(placements.pose)
    pose = np.concatenate(poses)
    spread = "  ".join(
        f"{mean:.2f} ±{deviation:.2f}" for mean, deviation in zip(pose.mean(0), pose.std(0), strict=True)
    )
    print(f"{step:>5} {hard / _PAIRS:5.2f} {statistics.mean(hardness):8.3f}  {spread}", flush=True)


if __name__ == "__main__":
    main()
