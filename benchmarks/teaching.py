"""Does the critic's pool teach as well as mined's? `python benchmarks/teaching.py --seeds 3`.

For each seed a digit classifier is trained on composites at random poses until it is right on 84 % (+- 1) of 2,000 others
(`fixed_target.py`). Each arm then harvests 1,000 composites from that start, as a run does, with hardness by margin alone
and with `learnable`, whose two references are trained once a seed and shared. The start is fine-tuned for equal steps on
the 1,000 and 500 digits, and once more with 1,000 base composites beside them, the same for all arms. `taught` is the
accuracy on 2,000 other composites at random poses; `passes` are judging passes, those of the references among them.
"""

import argparse
import json
import statistics
from pathlib import Path

from terse.process import prepare_process

prepare_process()

import numpy as np
import torch
from fixed_target import _ALWAYS, accuracy_of, train_target

from terse.placements import Placements
from terse.recipe import load_recipe
from terse.run import open_session
from terse.synthesis.blind import BlindProposer
from terse.synthesis.proposer import propose
from terse.training.harvest import harvest_phase
from terse.training.optimizers import optimizer_maker
from terse.training.references import compare_reference, reference_phase
from terse.training.seeding import reseed
from terse.types import Truth

_KEPT, _REAL = 1_000, 500
_POOL = (f"pool.per_cycle={_KEPT}", "pool.uneven=1", "pool.candidates=400000")
_LEARNABLE = "hardness={kind: learnable, of: {kind: margin, above: 0.05}, reference: {steps: %d}}"
ARMS = {
    "random": ("synthesis.kind=random",),
    "mined": ("synthesis.kind=mined",),
    "critic": ("synthesis.feedback=critic", "synthesis.critic.drift=0.2", "synthesis.critic.first_fit=500"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=1000, help="of each reference")
    parser.add_argument("--plain", action="store_true", help="without `learnable`")
    parser.add_argument("--out", type=Path, help="a folder for what each seed found; what is there is not run again")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    rows = [found for seed in seeds for found in seed_of(seed, given)]
    names = list(dict.fromkeys(row["arm"] for row in rows))
    keys = [key for key in rows[0] if key not in ("arm", "seed")]
    print(f"{'arm':>20} " + " ".join(f"{key:>16}" for key in keys))
    for name in names:
        own = [row for row in rows if row["arm"] == name]
        for key_row in (*own, {key: statistics.mean(row[key] for row in own) for key in keys}):
            label = f"{name} {key_row.get('seed', 'mean')}"
            print(f"{label:>20} " + " ".join(f"{key_row[key]:16.3f}" for key in keys), flush=True)


def seed_of(seed: int, given: argparse.Namespace) -> list[dict[str, float]]:
    """The rows of one seed, read where they are kept."""
    kept = None if given.out is None else given.out / f"seed-{seed}.json"
    if kept is not None and kept.is_file():
        return json.loads(kept.read_text("utf-8"))
    rows = trial(seed, 0 if given.plain else given.steps)
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(rows) + "\n", "utf-8")
    return rows


def trial(seed: int, steps: int) -> list[dict[str, float]]:
    """What each arm found from one start, and what it taught; 0 steps of the references leave them out."""
    start = session_of(seed, ARMS["random"])
    torch.set_num_threads(1)
    train_target(start)
    weights = {name: value.clone() for name, value in start.players.target.module.state_dict().items()}
    blind = propose(BlindProposer(start.players.materials, 500), 2 * _KEPT, seed, 1, "teach base")
    rows, shared = [], None
    kinds = [("", ())] + ([(" learnable", (_LEARNABLE % steps,))] if steps else [])
    for kind, hardness in kinds:
        for arm, overrides in ARMS.items():
            if kind and arm == "random":
                continue
            session = session_of(seed, (*overrides, *hardness))
            if hardness and shared is None:
                reference_phase(session)
                shared = session.players.rule.references
            session.players.target.module.load_state_dict(weights)
            if hardness:
                session.players.rule.references = shared
                compare_reference(session, 0)
            session.position.restore([1, 0, 0])
            harvest_phase(session, 1)
            figures, pool = session.facts["harvest"], session.pool.placements
            accuracy = session.players.rule.accuracy if hardness else None
            rows.append(
                {
                    "arm": arm + kind, "seed": seed, "kept": len(pool), "passes": session.costs.judging_passes,
                    "hard_rate": figures["hard_rate"], "reference": accuracy[0] if accuracy else 0.0,
                    "reference_right": figures.get("reference_right", 0.0), "taught": teach(session, pool, weights),
                    "taught_with_base": teach(session, Placements.join([pool, blind.take(np.arange(_KEPT))]), weights),
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def session_of(seed: int, overrides: tuple[str, ...]):
    """A run of quickstart at its start."""
    return open_session(load_recipe("quickstart", [*_ALWAYS, *_POOL, f"seed={seed}", *overrides]), None)


def teach(session, placements: Placements, weights: dict[str, torch.Tensor]) -> float:
    """The accuracy after the recipe's epochs on these composites and 500 digits, from the start."""
    players, settings, seed = session.players, session.recipe.fine_tune, session.recipe.seed
    module = players.target.module
    module.load_state_dict(weights)
    made = players.materials.render(placements)
    real, truth = players.train.fetch(np.arange(_REAL))
    images, labels = torch.cat([made.images, real]), torch.cat([made.truth.labels, truth.labels])
    optimizer = optimizer_maker(settings.optimizer)(module)
    for epoch in range(settings.epochs):
        order = torch.randperm(len(images), generator=reseed(seed, 1, "teach", epoch))
        for rows in torch.split(order, settings.batch_size):
            optimizer.zero_grad()
            players.target.train_loss(images[rows], Truth.of_images(labels[rows])).backward()
            optimizer.step()
    return accuracy_of(session)


if __name__ == "__main__":
    main()
