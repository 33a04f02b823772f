"""What pose families cost: CPU time of a synthesizer's step with each of them on, over affine poses alone (bar: 1.6 for all).

Everything but the poses is the same: drawn scenes, ssdlite as the target, a small synthesizer, no discriminator. That is
the hardest case for the bar, since slower targets and backbones hide the poses' share. Rounds are interleaved.
"""

import os
import statistics
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from terse.draws import seeds_of
from terse.recipe import load_recipe
from terse.run import open_session
from terse.training.optimizers import optimizer_maker
from terse.training.phases import synthesizer_step

AFFINE = "{kind: affine, rotation_deg: [-90, 90], scale: [0.1, 1.2], stretch: [0.8, 1.25], min_visible: 0.3}"
CHAINS = {
    "affine": AFFINE,
    "photometric": f"{{kind: photometric}}, {AFFINE}",
    "photometric on image": f"{AFFINE}, {{kind: photometric, on: image}}",
    "perspective": f"{{kind: perspective}}, {AFFINE}",
    "thin_plate": f"{{kind: thin_plate}}, {AFFINE}",
    "shadow": f"{AFFINE}, {{kind: shadow}}",
    "all": f"{{kind: photometric}}, {{kind: perspective}}, {{kind: thin_plate}}, {AFFINE}, {{kind: shadow}}, "
    "{kind: photometric, on: image}",
}


def main(side_px: int, rounds: int, names: list[str]) -> None:
    torch.set_num_threads(1)
    steps = {name: step_of(CHAINS[name], side_px) for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, rounds):
        for name, step in steps.items():
            busy = time.process_time()
            step(number + 1)
            if number >= 0:
                spent[name].append(time.process_time() - busy)
    print(f"canvas {side_px} px, batch 16, {rounds} rounds, one thread, load {os.getloadavg()[0]:.1f}")
    print("| families | CPU s a step, median (least to most) | over affine |")
    print("| --- | --- | --- |")
    base = statistics.median(spent["affine"])
    for name, seconds in spent.items():
        middle = statistics.median(seconds)
        print(f"| {name} | {middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f}) | {middle / base:.2f} |")


def step_of(poses: str, side_px: int):
    """A function that takes one step of a fresh synthesizer."""
    settings = [
        f"canvas_px={side_px}",
        f"target.image_size_px={side_px}",
        f"synthesis.input_px={max(side_px, 128)}",
        f"poses=[{poses}]",
        "synthesis.discriminator=false",
        "data.train=32",
        "data.val=4",
        "data.test=4",
        "runtime.threads=1",
    ]
    session = open_session(load_recipe("shapes", settings), None)
    proposer = session.players.proposer
    optimizer = optimizer_maker(proposer.settings.optimizer)(proposer.module)

    def step(number: int) -> None:
        requests = proposer.requests(seeds_of(0, 1, "synthesizer", number, count=16))
        synthesizer_step(session, proposer, optimizer, requests, torch.Generator().manual_seed(number))

    return step


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 300,
        int(sys.argv[2]) if len(sys.argv) > 2 else 5,
        sys.argv[3:] or list(CHAINS),
    )
