"""What a target phase trains on: which real and which pooled images, step by step."""

import math

import numpy as np
from jaxtyping import Int64

from terse.recipe_parts import PhaseConfig
from terse.training.seeding import array_generator
from terse.training.session import Session

__all__ = ["TargetPlan", "planned_pool"]


class TargetPlan:
    """Which real and which pooled images each step sees; a function of the seed alone.

    The number of steps is that of a pool as large as planned, whatever an arm found: arms then train alike.

    Source: paper 3.4; equal steps are ours.
    """

    def __init__(
        self, session: Session, settings: PhaseConfig, cycle: int, phase: str, pooled: int, planned: int
    ) -> None:
        self._seed, self._cycle, self._phase = session.recipe.seed, cycle, phase
        self._real, self._pooled = len(session.players.train), pooled
        # The arm without synthetic images sees as many real ones instead.
        virtual = planned if session.players.proposer is None and not pooled else 0
        ratio = settings.real_per_synthetic
        self._batch = settings.batch_size
        # Over all real images once, the pool repeated to its share of them (A.2); None goes over the pool once.
        mixed = settings.epoch == "real" and ratio != "all" and ratio > 0
        self._share = round(self._real / float(ratio)) if mixed else None
        if self._share is not None:
            self._composites, self._stand_ins = (self._share if some else 0 for some in (pooled, virtual))
            self._real_an_epoch = self._real + self._stand_ins
            steps = self._epoch_of(self._real + (self._share if planned else 0))
        else:
            self._composites, self._stand_ins = pooled, virtual if ratio != "all" else 0
            self._real_an_epoch = self._mixed(ratio, pooled or virtual) + self._stand_ins
            steps = self._epoch_of(self._mixed(ratio, planned) + planned)
        self.steps_an_epoch = self._epoch_of(self._real_an_epoch + self._composites)
        self.steps = (settings.steps or settings.epochs * steps) if self.steps_an_epoch else 0
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def _mixed(self, ratio: float | str, synthetic: int) -> int:
        """Real images for so many synthetic ones."""
        return self._real if ratio == "all" or not synthetic else round(float(ratio) * synthetic)

    def _epoch_of(self, images: int) -> int:
        """Batches; a last one of a single image is left out, since BatchNorm cannot train on it."""
        left = images % self._batch
        return max(1, math.ceil(images / self._batch) - (left == 1)) if images else 0

    def batch(self, step: int) -> Int64[np.ndarray, " b"]:
        """Numbers below the count of real images are real, the rest pooled."""
        epoch, within = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            key = (self._seed, self._cycle, self._phase, epoch)
            rng = array_generator(*key)
            shared = _sample(rng, self._real, self._real_an_epoch - self._stand_ins)
            places = rng.permutation(self._real_an_epoch + self._composites)
            # Begins with `shared`: those stand where they do in the other arms, however often the real ones repeat.
            real = _sample(array_generator(*key), self._real, self._real_an_epoch)
            assert np.array_equal(real[: len(shared)], shared)
            self._order = np.concatenate([real, self._real + self._of_pool(epoch)])[places]
            self._epoch = epoch
        order = self._order
        if len(order) == 1 < self._batch:  # a lone image stands there twice: BatchNorm cannot train on one
            order = np.repeat(order, 2)
        return order[within * self._batch : (within + 1) * self._batch]

    def _of_pool(self, epoch: int) -> Int64[np.ndarray, " k"]:
        """Numbers of the pool in an epoch; which ones repeat once more changes with it."""
        if self._share is None or not self._composites:
            return np.arange(self._composites)
        rng = array_generator(self._seed, self._cycle, f"{self._phase} pool", epoch)
        return _sample(rng, self._pooled, self._composites)


def _sample(rng: np.random.Generator, available: int, wanted: int) -> Int64[np.ndarray, " k"]:
    """Without repeats as long as there are enough, else every one equally often."""
    rounds = max(1, math.ceil(wanted / max(1, available)))
    return np.concatenate([rng.permutation(available) for _ in range(rounds)])[:wanted]


def planned_pool(session: Session, cycle: int) -> int:
    """How many composites the target should train on by now: of all cycles, or of one where the pool is drawn afresh.

    Source: paper A.1, A.2.
    """
    pool = session.recipe.pool
    a_cycle = pool.per_cycle or (pool.per_class or 0) * len(session.players.materials.of_task)
    return a_cycle if pool.refresh else cycle * a_cycle
