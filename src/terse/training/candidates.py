"""Candidates of a harvest: proposed, drawn by the processes together, and looked at before the target judges them."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from terse.placements import Placements
from terse.protocols import Chooses, Proposer
from terse.requests import Requests
from terse.synthesis.proposer import propose
from terse.training.ranks import Ranks, Share
from terse.training.session import Session
from terse.types import Composites

__all__ = ["drawn", "first_labels", "hidden", "proposed"]


def proposed(
    session: Session,
    proposer: Proposer,
    cycle: int,
    phase: str,
    step: int,
    count: int,
    *,
    round_: int,
    with_room: Callable[[Placements], np.ndarray] | None = None,
) -> tuple[Placements, Callable[[np.ndarray, np.ndarray], np.ndarray] | None]:
    """A block of candidates, and who is told of the verdicts on them, as those of a round (a harvest of the run).

    `with_room` says which rows could still enter the pool; the others are left out.

    Source: ours.
    """
    path = (session.recipe.seed, cycle, phase, step)
    if proposer.module is not None:
        session.costs.synthesizer_forwards += count
    if isinstance(proposer, Chooses):
        candidates = session.engine.ranks.first(proposer.choose(count, *path))
        if with_room is not None:
            candidates = candidates.take(with_room(candidates.placements))
        if session.recipe.pool.passes_per_wanted is not None:  # about so many may be more than are left to judge
            candidates = candidates.take(np.arange(min(count, len(candidates))))
        return candidates.placements, partial(proposer.told, candidates, cycle=round_)
    spread = None if session.engine.ranks.alone else partial(_spread, session.engine.ranks)
    with session.engine.autocast():
        placements = propose(proposer, count, *path, spread=spread)
    return placements if with_room is None else placements.take(with_room(placements)), None


def _spread(ranks: Ranks, proposer: Proposer, requests: Requests) -> Placements:
    """What is proposed for all requests, each process answering its share."""
    share = ranks.share(len(requests))
    return share.whole(ranks.each(proposer.propose(requests.take(share.rows))))


@torch.no_grad()
def drawn(session: Session, placements: Placements) -> tuple[Placements, Composites, Share]:
    """This process's share of the placements, and what they render to.

    Source: ours.
    """
    share = session.engine.ranks.share(len(placements))
    own = placements if session.engine.ranks.alone else placements.take(share.rows)
    return own, session.players.materials.render(own), share


def first_labels(composites: Composites) -> np.ndarray:
    """The class of each image's first pasted object.

    Source: ours.
    """
    truth = composites.truth
    labels = np.zeros(truth.batch_size, dtype=np.int64)
    rows = torch.nonzero(truth.pasted).flatten().flip(0)
    labels[truth.image_index[rows].cpu().numpy()] = truth.labels[rows].cpu().numpy()
    return labels


def hidden(composites: Composites) -> np.ndarray:
    """Images that hold no pasted object which can be seen well enough.

    Source: ours.
    """
    truth = composites.truth
    seen = np.zeros(truth.batch_size, dtype=bool)
    good = truth.pasted & ~truth.ignore
    seen[truth.image_index[good].cpu().numpy()] = True
    return ~seen
