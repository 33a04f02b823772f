"""How hard what an arm proposes is for the frozen start, before anything is kept or dropped (paper, Fig. 8)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from terse.evaluation.hardness import baseline_hardness
from terse.training.candidates import hidden, proposed
from terse.training.seeding import reseed
from terse.training.session import Session

__all__ = ["SETS", "proposed_hardness"]

SETS = 3
"""The paper averages over several sets of each method without saying how many."""
_PER_SET = 128
_BLOCK = 32


def proposed_hardness(
    session: Session, image_confidence: Callable[[Any, Sequence[Int64[Tensor, " _"]]], list[float]]
) -> list[list[float]]:
    """1 - p of what the arm proposes at its end, three sets of 128 composites, under the target as it is in the session.

    A critic proposes what it would have judged. Composites whose object is hidden, which no arm keeps, are left out.

    Source: paper 4.2.1 and Fig. 8; the paper shows what the synthesizer generates.
    """
    players, cycle = session.players, session.recipe.cycles
    assert players.proposer is not None
    sets = []
    for number in range(SETS):
        phase = f"figure 8, set {number}"
        found: list[float] = []
        for step in range(_PER_SET // _BLOCK):
            reseed(session.recipe.seed, cycle, phase, step)
            placements, _ = proposed(session, players.proposer, cycle, phase, step, _BLOCK, round_=cycle)
            if not len(placements):
                continue
            with torch.no_grad():
                seen = np.flatnonzero(~hidden(players.materials.render(placements)))
            with session.engine.autocast():
                found += baseline_hardness(
                    players.target,
                    placements.take(seen),
                    players.materials.render,
                    image_confidence,
                    most=_BLOCK,
                    device=session.engine.device,
                )
        sets.append(found)
    return sets
