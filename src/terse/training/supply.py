"""The composites that a target phase mixes in, epoch by epoch: the pool, drawn afresh where the recipe says so."""

import numpy as np
import torch

from terse.placements import Placements
from terse.recipe_parts import PhaseConfig, PretrainConfig
from terse.synthesis.blind import base_of
from terse.synthesis.proposer import propose
from terse.training.candidates import hidden
from terse.training.harvest import redraw
from terse.training.plan import planned_pool
from terse.training.pool_images import PoolImages
from terse.training.session import Session

__all__ = ["Supply"]

_BLOCK = 64


class Supply:
    """What a phase has to mix in: the pool of a cycle, or before the first cycle blind composites.

    `count` is how many an epoch holds, `planned` how many it would if the arm had found all that it wanted.

    Source: paper 3.4 (the pool); drawing afresh and composites before the first cycle are ours.
    """

    def __init__(self, session: Session, settings: PhaseConfig, cycle: int, phase: str) -> None:
        self._session, self._cycle = session, cycle
        self._blind = settings.composites if isinstance(settings, PretrainConfig) and phase == "pretrain" else 0
        self._refresh = session.recipe.pool.refresh if phase == "target" else None
        if phase == "pretrain":
            self.planned = self.count = self._blind
        else:
            self.planned, pooled = planned_pool(session, cycle), len(session.pool)
            self.count = self.planned if self._refresh and pooled else pooled
        self._images: PoolImages | None = None
        self._made: int | None = None

    def at(self, epoch: int) -> PoolImages | None:
        """The composites of an epoch; asked for in order, or from where a run was left."""
        if not self.count:
            return None
        wanted = epoch if self._blind else epoch // self._refresh if self._refresh else 0
        if self._made != wanted:
            self._images = None  # not two pools in memory
            self._images = PoolImages(self._placements(wanted), self._session.players.materials)
            self._made = wanted
        return self._images

    def _placements(self, draw: int) -> Placements:
        session = self._session
        if self._blind:
            return self._blind_composites(draw)
        if not self._refresh:
            return session.pool.placements
        for number in range(session.facts.get("redraws", 0) + 1, draw + 1):
            redraw(session, self._cycle, number)
        return session.pool.newest

    @torch.no_grad()
    def _blind_composites(self, epoch: int) -> Placements:
        """So many whose object can be seen."""
        session, found, block = self._session, [Placements.empty(self._session.players.materials.poses.size)], 0
        arm = base_of(session.recipe, session.players.materials, _BLOCK)
        while (missing := self._blind - sum(map(len, found))) > 0:
            placements = propose(arm, _BLOCK, session.recipe.seed, 0, f"blind composites {epoch}", block)
            seen = np.flatnonzero(~hidden(session.players.materials.render(placements)))
            found.append(placements.take(seen[:missing]))
            block += 1
        return Placements.join(found[1:])
