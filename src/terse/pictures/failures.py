"""What a run's model failed after each cycle, beside what the next cycle pasted against it (paper, Fig. 4 and 11)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from terse.evaluation.diversity import pooled_features
from terse.evaluation.failures import Clusters, Shapes, pair_entropy
from terse.evaluation.predictions import spread
from terse.page_figures import AfterCycle, Failures, Modes
from terse.pictures.kept_players import target_with
from terse.pictures.pool import layout, to_uint8
from terse.pictures.sheets import Sheet, contact_sheet
from terse.placements import Placements
from terse.pool import Pool
from terse.protocols import Judges, network_of
from terse.recipe import Recipe
from terse.synthesis.blind import base_of
from terse.synthesis.proposer import propose
from terse.tasks.task import Task, task_of
from terse.training.session import Players
from terse.types import Truth

__all__ = ["failures"]

_REAL, _HARD, _BASE = 200, 256, 512
_CLUSTERS = 32
_BATCH = 16
_MOST_SHOWN = 5  # models
_GROUP = "Missed, and pasted against it"


@dataclass(frozen=True, slots=True)
class _Answers:
    """The objects of some images, what a model says of each, and a few of the images."""

    shapes: Shapes
    labels: Int64[np.ndarray, " n"]
    said: Int64[np.ndarray, " n"]
    shown: list[tuple[np.ndarray, np.ndarray, list[str]]] = field(default_factory=list)  # image, boxes, names


def failures(recipe: Recipe, players: Players, pool: Pool, folder: Path) -> tuple[Failures | None, list[Sheet]]:
    """Figures and strips of the start and of each kept cycle; nothing where the recipe did not keep them.

    Real objects are those of the test images. A cycle's hard composites stand beside what the model missed as that cycle
    began, after the cycle before it.
    """
    weights = {0: folder / "start.pth"}
    weights |= {cycle: folder / "cycles" / f"target-{cycle}.pth" for cycle in range(1, recipe.cycles + 1)}
    there = {cycle: path for cycle, path in weights.items() if path.is_file()}
    if len(there) < 2 or 0 not in there or not len(players.test) or not _has_answers(recipe, players):
        return None, []
    looked = _Looks(recipe, players, pool, target_with(players.target, there[0]))
    found, sheets = [], []
    shown = set(np.array(list(there))[spread(len(there), _MOST_SHOWN)].tolist())
    for cycle, path in there.items():
        one, strips = looked.after(cycle, target_with(players.target, path))
        found.append(one)
        sheets += strips if cycle in shown else []
    return (
        Failures(after=found, images=len(looked.real), clusters=_CLUSTERS, base_clusters=looked.base_clusters),
        sheets,
    )


def _has_answers(recipe: Recipe, players: Players) -> bool:
    """Whether the task says which class an object is given."""
    image, truth = players.test.fetch(np.zeros(1, dtype=np.int64))
    with torch.no_grad():
        predicted = players.target.predict(image.to(_device(players.target)))
    return task_of(recipe).said(predicted, truth.to("cpu")) is not None


def _device(target: Judges) -> torch.device:
    network = network_of(target)
    first = next(network.parameters(), None) if network is not None else None
    return torch.device("cpu") if first is None else first.device


class _Looks:
    """What is shown to every model: the same real images, as many hard composites of each cycle, base composites."""

    def __init__(self, recipe: Recipe, players: Players, pool: Pool, start: Judges) -> None:
        self.task: Task = task_of(recipe)
        self.players, self.start, self.placements = players, start, pool.placements
        self.real = spread(len(players.test), _REAL)
        cycles = np.unique(self.placements.cycle).tolist() if len(pool) else []
        hard = {cycle: np.flatnonzero((self.placements.cycle == cycle) & self.placements.hard) for cycle in cycles}
        self.hard = {cycle: rows for cycle, rows in hard.items() if len(rows)}
        self.count = min([_HARD, *map(len, self.hard.values())])
        self.columns, self.strip = layout(players.materials)
        blind = base_of(recipe, players.materials, _BASE)
        base = propose(blind, _BASE + self.count, recipe.seed, 0, "page: base composites")
        self.base_shapes = Shapes.join([self._shapes(truth, images) for images, truth in self._drawn_batches(base)])
        features = self._features(base)  # of those that are counted, and before them of those that make the clusters
        self.clusters = None if features is None else Clusters(features[:_BASE], _CLUSTERS)
        self.base_clusters = self._filled(None if features is None else features[_BASE:])

    def after(self, cycle: int, target: Judges) -> tuple[AfterCycle, list[Sheet]]:
        """What the model of a cycle fails."""
        real = self._answers(target, self._real_batches(), missed_only=True)
        wrong = real.labels != real.said
        missed = real.shapes.take(wrong)
        sheets = self._sheet(real, f"Missed after cycle {cycle}" if cycle else "Missed by the start", "real objects")
        hard_shapes = modes = None
        if cycle + 1 in self.hard:
            rows = self.hard[cycle + 1]
            rows = rows[spread(len(rows), self.count)]
            drawn = self._answers(target, self._drawn_batches(self.placements.take(rows)))
            hard_shapes = drawn.shapes.summary(missed)
            entropy, pairs = pair_entropy(drawn.labels, drawn.said)
            modes = Modes(
                composites=len(rows), pair_entropy=entropy, pairs=pairs,
                clusters=self._filled(self._features(self.placements.take(rows))),
            )  # fmt: skip
            sheets += self._sheet(drawn, f"Hard in cycle {cycle + 1}", "hard composites")
        one = AfterCycle(
            cycle=cycle, real=real.shapes.summary(missed), missed=missed.summary(),
            base=self.base_shapes.summary(missed), hard=hard_shapes, modes=modes,
        )  # fmt: skip
        return one, sheets

    def _filled(self, features: Float32[np.ndarray, "n d"] | None) -> float | None:
        return None if features is None or self.clusters is None else self.clusters.filled(features)

    def _features(self, placements: Placements) -> Float32[np.ndarray, "n d"] | None:
        network = network_of(self.start)
        assert network is not None
        with torch.no_grad(), pooled_features(network) as features:
            for images, _ in self._drawn_batches(placements):
                self.start.predict(images)
        return features.of(len(placements))

    def _real_batches(self) -> Iterator[tuple[Tensor, Truth]]:
        for first in range(0, len(self.real), _BATCH):
            images, truth = self.players.test.fetch(self.real[first : first + _BATCH])
            yield images.cpu(), replace(truth.to("cpu"), pasted=~truth.ignore.cpu())

    def _drawn_batches(self, placements: Placements) -> Iterator[tuple[Tensor, Truth]]:
        for first in range(0, len(placements), _BATCH):
            rows = np.arange(first, min(first + _BATCH, len(placements)))
            with torch.no_grad():
                drawn = self.players.materials.render(placements.take(rows))
            yield drawn.images.cpu(), drawn.truth.to("cpu")

    def _shapes(self, truth: Truth, images: Tensor) -> Shapes:
        return Shapes.of(truth, images.shape[-1]).take((truth.pasted & ~truth.ignore).numpy())

    def _answers(
        self, target: Judges, batches: Iterator[tuple[Tensor, Truth]], *, missed_only: bool = False
    ) -> _Answers:
        """What the model says of the objects that count: of real images all, of composites those that were pasted."""
        shapes, labels, said, shown = [], [], [], []
        for images, truth in batches:
            with torch.no_grad():
                answer = self.task.said(target.predict(images), truth)
            assert answer is not None
            counted = (truth.pasted & ~truth.ignore).numpy()
            own = truth.labels.numpy()
            shapes.append(self._shapes(truth, images))
            labels.append(own[counted])
            said.append(answer[counted])
            marked = counted & (answer != own) if missed_only else counted
            shown += self._marked(images, truth, marked, answer)
        chosen = [shown[k] for k in spread(len(shown), self.strip).tolist()]
        return _Answers(Shapes.join(shapes), np.concatenate(labels), np.concatenate(said), chosen)

    def _marked(
        self, images: Tensor, truth: Truth, marked: np.ndarray, said: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray, list[str]]]:
        """The images with marked objects, their boxes, and what the model says of each."""
        index, classes = truth.image_index.numpy(), self.players.materials.classes
        pictures, boxes = to_uint8(images), truth.boxes_px.double().numpy()
        found = []
        for number in np.unique(index[marked]).tolist():
            rows = np.flatnonzero(marked & (index == number))
            names = [
                classes[own] if own == says or says < 0 else f"{classes[own]}, said {classes[says]}"
                for own, says in zip(truth.labels.numpy()[rows].tolist(), said[rows].tolist(), strict=True)
            ]
            found.append((pictures[number], boxes[rows], names))
        return found

    def _sheet(self, answers: _Answers, heading: str, what: str) -> list[Sheet]:
        shown = answers.shown
        if not shown:
            return []
        images = np.stack([image for image, _, _ in shown])
        if self.task.predicts_boxes:
            marks: dict[str, Sequence[Any]] = {
                "boxes": [boxes for _, boxes, _ in shown], "labels": [names for _, _, names in shown]
            }  # fmt: skip
        else:
            marks = {"captions": [", ".join(names) for _, _, names in shown]}
        wrong = int((answers.labels != answers.said).sum())
        caption = f"{wrong:,} of {len(answers.labels):,} {what} are missed"
        picture = contact_sheet(images, self.columns, **marks, transparent=True)
        return [Sheet(_GROUP, heading, picture, f"{len(shown)} images: {heading}", caption)]
