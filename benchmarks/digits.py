"""Speed of the digits' phases, medians and spread in one run.

    uv run python benchmarks/digits.py [--rounds N] [--json]

Rows: images/s of the target phase over a hand-written plain PyTorch loop on the same network, data and batches, in
float32 and, where the CPU has units for it, in bfloat16; and the time of a synthesizer step over one target
forward-backward on the same batch, for the small and the deep classifier. Ratios are taken pair by pair, so that they
hold while the machine's speed drifts.
"""

import argparse
import json
import statistics
import time

from terse.process import prepare_process

prepare_process()

import numpy as np
import torch
from torch.nn import functional

from terse.draws import seeds_of
from terse.recipe import load_recipe
from terse.run import open_session
from terse.targets.classifier.target import MNISTClassifier
from terse.training.phases import synthesizer_step, target_phase
from terse.training.seeding import reseed
from terse.types import Truth

STEPS = 60
BATCH = 64


def plain_loop_seconds(images, labels):
    """What anybody would write first: default layout, float32, torch's default SGD."""
    torch.manual_seed(0)
    model = MNISTClassifier().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.5, weight_decay=5e-4)
    order = torch.randperm(len(images))
    began = time.perf_counter()
    for step in range(STEPS):
        rows = order[step * BATCH : (step + 1) * BATCH]
        loss = functional.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return time.perf_counter() - began


def phase_seconds(precision):
    """The run's own target phase, everything included: the plan, reseeding, checks, the observer."""
    size = STEPS * BATCH
    recipe = load_recipe(
        "quickstart",
        [f"runtime.precision={precision}", f"data.train={size}", "data.val=10", "data.test=10"],
    )
    session = open_session(recipe, None)
    settings = recipe.fine_tune.model_copy(update={"epochs": 1, "real_per_synthetic": "all"})
    began = time.perf_counter()
    target_phase(session, 0, settings, "pretrain")
    return time.perf_counter() - began


def step_ratio(kind, precision, batch=1024):
    """One synthesizer step over one forward-backward of its target (weights' gradients too) on its composites."""
    recipe = load_recipe(
        "affnist-efficiency",
        [f"target.kind={kind}", f"runtime.precision={precision}", "data.train=2000", "data.val=10", "data.test=10"],
    )
    session = open_session(recipe, None)
    players = session.players
    session.engine.use_threads(batch * 1600)
    optimizer = torch.optim.Adam(players.proposer.module.parameters(), lr=1e-3, fused=True)
    players.target.module.to(memory_format=torch.channels_last)

    def synthesizer(number):
        began = time.perf_counter()
        requests = players.proposer.requests(seeds_of(0, 1, "b", number, count=batch))
        _, composites, _ = synthesizer_step(session, players.proposer, optimizer, requests, reseed(0, 1, "b", number))
        return time.perf_counter() - began, composites

    def target(composites):
        began = time.perf_counter()
        with session.engine.autocast():
            loss = players.target.train_loss(composites.images, composites.truth)
        loss.backward()
        return time.perf_counter() - began

    for parameter in players.target.module.parameters():
        parameter.requires_grad_(False)
    _, composites = synthesizer(0)
    seconds = []
    for number in range(1, 4):
        own, composites = synthesizer(number)
        for parameter in players.target.module.parameters():
            parameter.requires_grad_(True)
        target(composites)
        other = target(composites)
        for parameter in players.target.module.parameters():
            parameter.requires_grad_(False)
        seconds.append((own, other))
    return statistics.median(own / other for own, other in seconds)


def rows(rounds):
    bf16 = torch.cpu._is_avx512_bf16_supported()
    images = torch.rand(STEPS * BATCH, 1, 40, 40)
    labels = torch.from_numpy(np.arange(STEPS * BATCH) % 10)
    assert Truth.of_images(labels).batch_size == len(images)
    torch.set_num_threads(1)
    plain_loop_seconds(images, labels)
    found = {}
    for precision, bar in (("float32", 1.0), ("bfloat16", 1.5)):
        if precision == "bfloat16" and not bf16:
            continue
        phase_seconds(precision)
        ratios = []
        for _ in range(rounds):
            torch.set_num_threads(1)
            ratios.append(plain_loop_seconds(images, labels) / phase_seconds(precision))
        found[f"target phase over a plain loop, {precision}"] = (ratios, bar, ">=")
    precision = "bfloat16" if bf16 else "float32"
    for kind, bar in (("mnist_classifier", 3.0), ("mnist_classifier_deep", 1.6)):
        found[f"synthesizer step over {kind}, {precision}"] = (
            [step_ratio(kind, precision) for _ in range(rounds)],
            bar,
            "<=",
        )
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = rows(arguments.rounds)
    told = {
        name: {
            "median": statistics.median(ratios),
            "low": min(ratios),
            "high": max(ratios),
            "bar": f"{sign} {bar}",
            "holds": statistics.median(ratios) >= bar if sign == ">=" else statistics.median(ratios) <= bar,
        }
        for name, (ratios, bar, sign) in found.items()
    }
    if arguments.json:
        print(json.dumps(told))
        return
    print(f"{'ratio':<52} median    low   high  bar")
    for name, row in told.items():
        verdict = "" if row["holds"] else "  missed"
        print(f"{name:<52} {row['median']:6.2f} {row['low']:6.2f} {row['high']:6.2f}  {row['bar']}{verdict}")


if __name__ == "__main__":
    main()
