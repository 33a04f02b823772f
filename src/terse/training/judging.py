"""A block of composites as the target judges it, in one process or in several."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from terse.evaluation.hardness import Passes
from terse.evaluation.learnable import ReferenceRule
from terse.placements import Placements
from terse.protocols import network_of
from terse.training.candidates import first_labels, hidden
from terse.training.ranks import Share
from terse.training.session import Session
from terse.training.spread import seen_by
from terse.types import Composites

__all__ = ["Judged", "judge"]


@dataclass(frozen=True)
class Judged:
    """What is known of a block of composites once the target has judged it: one row an image."""

    placements: Placements
    labels: np.ndarray
    worth: np.ndarray  # enough of a pasted object is seen
    hard: np.ndarray
    hardness: np.ndarray
    features: np.ndarray | None
    further: Passes
    asked: tuple[int, int]  # of a reference, and how often it was right

    @classmethod
    def whole(cls, share: Share, parts: "Sequence[Judged]") -> "Judged":
        """The block, from the share of each process."""
        kept = parts[: share.sharing]
        names = ("labels", "worth", "hard", "hardness")
        return cls(
            placements=share.whole([part.placements for part in kept]),
            **{name: share.whole_array([getattr(part, name) for part in kept]) for name in names},
            features=share.whole_array(rows)
            if (rows := [f for part in kept if (f := part.features) is not None])
            else None,
            further=sum((part.further for part in kept), Passes()),
            asked=(sum(part.asked[0] for part in kept), sum(part.asked[1] for part in kept)),
        )


def judge(session: Session, placements: Placements, composites: Composites) -> Judged:
    """What the run's rule makes of this process's share of a block.

    Source: paper A.1 and A.2, the target's verdict; what else is kept of it is ours.
    """
    players = session.players
    rule, farthest = players.rule, session.recipe.pool.choose == "farthest"
    before = rule.asked if isinstance(rule, ReferenceRule) else [0, 0]
    with session.engine.autocast(), seen_by(network_of(players.target), wanted=farthest) as seen:
        verdict = rule.judge_composites(players.target, composites, placements)
    worth = ~hidden(composites)
    return Judged(
        placements,
        first_labels(composites),
        worth,
        verdict.hard.cpu().numpy() & worth,
        verdict.hardness.cpu().double().numpy(),
        None if seen is None else seen.of(len(placements)),
        verdict.further,
        (rule.asked[0] - before[0], rule.asked[1] - before[1]) if isinstance(rule, ReferenceRule) else (0, 0),
    )
