"""What a critic saves on digits: composites that enter the pool for each pass of a frozen classifier.

    python benchmarks/critic.py FOLDER_WITH_MNIST --kept 5000 --drift 0.2 0.1 0
    python benchmarks/critic.py FOLDER_WITH_MNIST --kept 2000 --drift 0.18 --accuracy 0.9 0.95 0.97 --reference 1500 \\
        --target mnist_classifier_deep

A classifier is trained on blind composites until it is right on so many of them (`--accuracy`), and frozen. Mining and a
critic at each drift then harvest so many composites from it, as a run does; with `--reference` those that are hard and that
references of so many steps (the deep classifier of Table 1), the same at each accuracy, get right. The table says what each found for a pass,
how far its harvest is from mining's law by inverse probabilities, and, counted, how far the cells of class and rotation
are from those of mined's pool; a second mined pool of other seeds shows what chance alone makes of that.
"""

import argparse
import copy
import sys
import time
from collections.abc import Iterator

from terse.process import prepare_process

prepare_process()

import numpy as np
import torch

from terse.draws import seeds_of
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.blind import BlindProposer
from terse.synthesis.proposer import propose
from terse.training.harvest import harvest_phase
from terse.training.references import compare_reference, reference_phase

_BATCH, _EVERY, _ROTATIONS, _NEARLY = 64, 100, 4, 0.955
_LEARNABLE = (
    "hardness={{kind: learnable, of: {{kind: margin, above: 0.05}}, reference: {{target: {{kind: mnist_classifier_deep}}, "
    "steps: {steps}, batch_size: 128, optimizer: {{name: sgd, lr: 0.05, momentum: 0.9, weight_decay: 5e-4, schedule: one_cycle}}}}}}"
)
_MINED = ("synthesis={kind: mined}",)


class Curve(Observer):
    """Judging passes when so many were found."""

    def __init__(self) -> None:
        self.session, self.points = None, []

    def step(self, **numbers: float) -> None:
        self.points.append((numbers["found"], self.session.costs.judging_passes))

    def passes_at(self, found: int) -> float:
        return np.interp(found, [0, *(x for x, _ in self.points)], [0, *(y for _, y in self.points)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root")
    parser.add_argument("--accuracy", type=float, nargs="+", default=[0.87])
    parser.add_argument("--target", default="mnist_classifier", help="its kind; the small one stays below 0.97")
    parser.add_argument("--reference", type=int, default=0, help="steps that each reference is trained for")
    parser.add_argument("--kept", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drift", type=float, nargs="+", default=[0.2, 0.1, 0.0])
    parser.add_argument("overrides", nargs="*", help="of the critic's arms, for example synthesis.critic.beta=0.7")
    given = parser.parse_args()
    common = [
        *(f"data.root={given.root}", "runtime.threads=1", "runtime.precision=float32", f"seed={given.seed}"),
        f"target.kind={given.target}",
        f"pool={{per_cycle: {given.kept}, uneven: 10, candidates: 10000000}}",
    ]
    torch.set_num_threads(1)
    arms = {"mined": _MINED}
    for drift in given.drift:
        critic = f"synthesis={{kind: learned, feedback: critic, critic: {{drift: {drift:g}}}}}"
        arms[f"critic, drift {drift:g}"] = (critic, *given.overrides)
    arms["mined, other seeds"] = (*_MINED, f"seed={given.seed + 1000}")
    references = []
    if given.reference:
        common.append(_LEARNABLE.format(steps=given.reference))
        references = trained_references([*common, "runtime.precision=auto"])
    for accuracy, weights in frozen_targets(common, sorted(given.accuracy)):
        table(given.kept, common, arms, weights, references, accuracy)


def table(kept: int, common: list[str], arms: dict, weights: dict, references: list, accuracy: float) -> None:
    marks = sorted({kept // 5, kept // 2, kept})
    print(
        f"\nTarget right on {accuracy:.3f}{compared(common, weights, references)}\n\n"
        f"| arm | {' | '.join(f'passes for {n:,}' for n in marks)} | raw hard rate | found | found per pass | yield over mined | "
        "drift by 1 / pi | cells' distance from mined | pose entropy | rank correlation | seconds |"
    )
    print("|" + " --- |" * (10 + len(marks)), flush=True)
    mined = None
    for name, overrides in arms.items():
        began = time.perf_counter()
        session, curve, row = harvest([*common, *overrides], weights, references)
        cells, passes = cells_of(session), session.costs.judging_passes
        rate = row["found"] * (1 - row["duplicates"]) / passes
        mined = mined or (cells, rate)
        distance = 0.5 * np.abs(cells - mined[0]).sum()
        at_marks = " | ".join(f"{curve.passes_at(n):,.0f}" for n in marks)
        print(
            f"| {name} | {at_marks} | {row['hard_rate']:.3f} | {row['found']} | {rate:.3f} | {rate / mined[1]:.2f} | "
            f"{row.get('drift', 0):.3f} | {distance:.3f} | {row['pose_entropy']:.3f} | "
            f"{row.get('rank_correlation', float('nan')):.2f} | {time.perf_counter() - began:.0f} |",
            flush=True,
        )


def trained_references(overrides: list[str]) -> list[dict]:
    """Weights of the judges of the two halves."""
    session = open_session(load_recipe("affnist-efficiency", [*overrides, *_MINED]), None)
    reference_phase(session)
    compare_reference(session, 1)
    print(f"references: right on {session.players.rule.accuracy[0]:.3f}", file=sys.stderr, flush=True)
    return [one.module.state_dict() for one in session.players.rule.references]


def compared(overrides: list[str], weights: dict, references: list[dict]) -> str:
    """Who is right on more base composites, the references or the target? As a run asks."""
    if not references:
        return ""
    session = loaded([*overrides, *_MINED], weights, references)
    compare_reference(session, 1)
    of_reference, of_target = session.players.rule.accuracy
    return f"; of the same composites the references are right on {of_reference:.3f}, the target on {of_target:.3f}"


def frozen_targets(overrides: list[str], accuracies: list[float]) -> Iterator[tuple[float, dict]]:
    """Weights of a classifier when it is right on so many blind composites, and on how many it is."""
    session = open_session(load_recipe("affnist-efficiency", [*overrides, *_MINED]), None)
    players, module = session.players, session.players.target.module
    blind = BlindProposer(players.materials, _BATCH)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
    found, step = 0.0, 0
    for accuracy in accuracies:
        while found < accuracy:
            with torch.no_grad():
                drawn = players.materials.render(propose(blind, _BATCH, 0, "benchmark", step))
            loss = players.target.train_loss(drawn.images, drawn.truth)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step % _EVERY == 0:
                found = measured(players, blind)
                for group in optimizer.param_groups:
                    group["lr"] = 0.02 if found < _NEARLY else 0.002  # at the first rate it comes to rest at 0.96
            if step % (20 * _EVERY) == 0:
                print(f"target: {step} steps, {found:.3f}", file=sys.stderr, flush=True)
        yield found, copy.deepcopy(module.state_dict())


def measured(players, blind, blocks: int = 8) -> float:
    right = 0
    for block in range(blocks):
        placements = blind.propose(blind.requests(seeds_of(0, "accuracy", block, count=256)))
        with torch.no_grad():
            drawn = players.materials.render(placements)
        right += int((players.target.predict(drawn.images).argmax(dim=1) == drawn.truth.labels).sum())
    return right / (256 * blocks)


def harvest(overrides: list[str], weights: dict, references: list[dict]):
    """One cycle's harvest from the frozen target."""
    curve = Curve()
    curve.session = session = loaded(overrides, weights, references, curve)
    harvest_phase(session, 1)
    return session, curve, session.facts["harvest"]


def loaded(overrides: list[str], weights: dict, references: list[dict], observer: Observer | None = None):
    """A session with this target and these references."""
    session = open_session(load_recipe("affnist-efficiency", overrides), None, observer=observer)
    session.players.target.module.load_state_dict(weights)
    for number, state in enumerate(references):
        session.players.rule.references[number].module.load_state_dict(state)
    return session


def cells_of(session) -> np.ndarray:
    """Shares of the pool in cells of class and rotation."""
    placements, poses = session.pool.placements, session.players.materials.poses
    unit = poses.to_unit(torch.from_numpy(placements.pose[:, :1].repeat(poses.size, axis=1))).numpy()[:, 0]
    rotation = np.clip((unit * _ROTATIONS).astype(int), 0, _ROTATIONS - 1)
    counts = np.bincount(placements.label * _ROTATIONS + rotation, minlength=10 * _ROTATIONS)
    return counts / counts.sum()


if __name__ == "__main__":
    main()
