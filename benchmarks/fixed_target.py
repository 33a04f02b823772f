"""What the synthesizer learns against a digit classifier that stands still: `python benchmarks/fixed_target.py KEY=VALUE ...`.

    python benchmarks/fixed_target.py --seeds 3 objective.form=hinge synthesis.optimizer.lr=3e-3

For each seed a classifier is trained on composites at random poses until it is right on 84 % (+- 1) of 2,000 others. The
synthesizer of the recipe learns 200 steps of batch 128 against it. Then 10,000 fresh pairs are drawn as the harvest draws
them, from the weights of step 200, and as many at random poses: how many are hard in each, the entropy of the least
covered number of the pose over random's (`evaluation.coverage`), and how many repeat another one nearly. `gap` is the mean
distance of a pose in training's mode from the same when drawn. With --teach the classifier is fine-tuned as in quickstart
on 1,000 hard composites and 500 digits, once the synthesizer's and once those of random poses (`mined`): its accuracy on
2,000 other composites at random poses.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from terse.process import prepare_process

prepare_process()

import numpy as np
import torch

from terse.draws import seeds_of
from terse.evaluation.coverage import coverage
from terse.modes import frozen
from terse.placements import Placements
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.modes import settle_statistics
from terse.synthesis.proposer import propose
from terse.training.optimizers import optimizer_maker, set_rate
from terse.training.phases import synthesizer_step
from terse.training.seeding import reseed
from terse.types import Truth

_STEPS, _BATCH, _PAIRS, _BLOCK = 200, 128, 10_000, 500
_TAUGHT = 1_000
_ACCURACY, _TOLERANCE, _JUDGED, _EVERY = 0.84, 0.01, 2_000, 20
_ALWAYS = ("synthesis.batch_size=128", "runtime.threads=1", "runtime.precision=float32", "data.val=10", "data.test=10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="of the recipe quickstart")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--targets", type=Path, help="a folder that keeps the trained classifiers")
    parser.add_argument("--every", type=int, default=0, help="print the target's loss and coverage every so many steps")
    parser.add_argument("--teach", action="store_true", help="also fine-tune the classifier on 1,000 hard ones of each")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = [trial(seed, given) for seed in range(given.first, given.first + given.seeds)]
    mean = {key: statistics.mean(row[key] for row in rows) for key in rows[0]}
    if given.json:
        print(json.dumps({"overrides": given.overrides, "rows": rows, "mean": mean}))
        return
    print(f"{'seed':>4} " + " ".join(f"{key:>10}" for key in rows[0]))
    for seed, row in [*enumerate(rows, given.first), ("mean", mean)]:
        print(f"{seed:>4} " + " ".join(f"{value:10.3f}" for value in row.values()), flush=True)


def trial(seed: int, given: argparse.Namespace) -> dict[str, float]:
    """Figures of one seed."""
    session = open_session(load_recipe("quickstart", [*_ALWAYS, f"seed={seed}", *given.overrides]), None)
    torch.set_num_threads(1)
    players, settings = session.players, session.recipe.synthesis
    kept = None if given.targets is None else given.targets / f"target-{seed}.pth"
    if kept is not None and kept.is_file():
        players.target.module.load_state_dict(torch.load(kept, weights_only=True))
        accuracy = accuracy_of(session)
    else:
        accuracy = train_target(session)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(players.target.module.state_dict(), kept)
    proposer, began = players.proposer, time.perf_counter()
    optimizer = optimizer_maker(settings.optimizer)(proposer.module)
    with frozen(players.target.module):
        for step in range(_STEPS):
            requests = proposer.requests(seeds_of(seed, 1, "synthesizer", step, count=_BATCH))
            generator = reseed(seed, 1, "synthesizer", step)
            set_rate(optimizer, settings.optimizer, step, _STEPS, 1)
            *_, loss = synthesizer_step(session, proposer, optimizer, requests, generator)
            if given.every and (step + 1) % given.every == 0:
                entropy = session.pose_entropy
                held = f", coverage {entropy.coverage:.2f} by a weight of {entropy.weight:.3f}" if entropy else ""
                print(f"step {step + 1}: target's loss {loss:.3f}{held}", flush=True)
    gap = settle_statistics(proposer, seeds_of(seed, 1, "statistics", 0, count=settings.statistics_pairs))
    seconds = time.perf_counter() - began
    hard, entropy, repeated, parts = judged(session, proposer)
    if given.every:
        print("entropy", {name: round(value, 2) for name, value in parts.items()}, flush=True)
    blind = judged(session, BlindProposer(players.materials, _BATCH))[0]
    taught = {}
    if given.teach:
        taught = {
            "learned": teach(session, proposer),
            "mined": teach(session, BlindProposer(players.materials, _BATCH)),
        }
    return {
        "accuracy": accuracy, "blind": blind, "hard": hard, "times": hard / blind, "entropy": entropy,
        "repeated": repeated, "gap": gap, "seconds": seconds, **taught,
    }  # fmt: skip


def train_target(session) -> float:
    """Train the classifier on random composites until its accuracy on others is in the window."""
    materials, target, seed = session.players.materials, session.players.target, session.recipe.seed
    optimizer = torch.optim.SGD(target.module.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    blind, rate = BlindProposer(materials, 64), 0.02
    for step in range(20_000):
        reseed(seed, 0, "fixed target", step)
        drawn = materials.render(propose(blind, 64, seed, 0, "fixed target", step))
        optimizer.zero_grad()
        target.train_loss(drawn.images, drawn.truth).backward()
        optimizer.step()
        if step % _EVERY == _EVERY - 1:
            accuracy = accuracy_of(session)
            if accuracy >= _ACCURACY - _TOLERANCE:
                break
            if accuracy > _ACCURACY - 0.04 and rate > 0.01:
                rate = optimizer.param_groups[0]["lr"] = 0.005
    assert abs(accuracy - _ACCURACY) <= _TOLERANCE, accuracy
    return accuracy


def accuracy_of(session) -> float:
    """On random composites that no training has seen."""
    players, right = session.players, 0
    drawn = propose(BlindProposer(players.materials, _JUDGED), _JUDGED, session.recipe.seed, 0, "accuracy", 0)
    for rows in np.array_split(np.arange(_JUDGED), _JUDGED // _BLOCK):
        composites = players.materials.render(drawn.take(rows))
        found = players.target.predict(composites.images).argmax(dim=1)
        right += int((found == composites.truth.labels).sum())
    return right / _JUDGED


def judged(session, proposer) -> tuple[float, float, float, dict[str, float]]:
    """The share of hard ones among fresh pairs, their entropy over random's, and the share of near repetitions."""
    players, hard, drawn = session.players, 0, []
    for number in range(_PAIRS // _BLOCK):
        drawn.append(propose(proposer, _BLOCK, session.recipe.seed, 1, "harvest", number))
        composites = players.materials.render(drawn[-1])
        hard += int(players.rule.judge(players.target, composites.images, composites.truth).hard.sum())
    seen = coverage(Placements.join(drawn), players.materials.poses, players.materials.class_of)
    parts = {name: part.entropy for name, part in seen.poses.items()}
    return hard / _PAIRS, seen.entropy, seen.near_duplicates, parts


def teach(session, proposer) -> float:
    """The accuracy of the classifier after 6 epochs on its hard composites and half as many digits; it is put back."""
    players, seed, parts = session.players, session.recipe.seed, []
    module, settings = players.target.module, session.recipe.fine_tune
    before = {name: value.clone() for name, value in module.state_dict().items()}
    number = 0
    while sum(map(len, parts)) < _TAUGHT:
        drawn = propose(proposer, _BLOCK, seed, 1, "teach", number)
        composites = players.materials.render(drawn)
        hard = players.rule.judge(players.target, composites.images, composites.truth).hard
        parts.append(drawn.take(np.flatnonzero(hard.numpy())))
        number += 1
    made = players.materials.render(Placements.join(parts).take(np.arange(_TAUGHT)))
    real, truth = players.train.fetch(np.arange(_TAUGHT // 2))
    images, labels = torch.cat([made.images, real]), torch.cat([made.truth.labels, truth.labels])
    optimizer = optimizer_maker(settings.optimizer)(module)
    for epoch in range(settings.epochs):
        order = torch.randperm(len(images), generator=reseed(seed, 1, "teach", epoch))
        for rows in torch.split(order, settings.batch_size):
            optimizer.zero_grad()
            players.target.train_loss(images[rows], Truth.of_images(labels[rows])).backward()
            optimizer.step()
    accuracy = accuracy_of(session)
    module.load_state_dict(before)
    return accuracy


if __name__ == "__main__":
    main()
