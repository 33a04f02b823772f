"""What the page of a run shows beside its figures: computed once, when the run ends, from its players and its pool."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from terse.discriminator import auc_of_scores
from terse.evaluation.coverage import coverage
from terse.evaluation.realism import even_scores
from terse.page_figures import Realism, ShownFigures
from terse.pictures.failures import failures
from terse.pictures.gallery import BeforeAfter
from terse.pictures.judging import judging_images
from terse.pictures.kept_players import kept_discriminator, target_with
from terse.pictures.page_folder import Shown
from terse.pictures.patches import patched
from terse.pictures.pool import cycle_sheets, pool_gallery, real_and_synthetic, to_uint8
from terse.pool import Pool
from terse.protocols import Judges, RealImages
from terse.recipe import Recipe
from terse.results import Coverage, HardnessCounts, hardness_counts
from terse.synthesis.materials import Materials
from terse.tasks.task import task_of
from terse.training.session import Players

__all__ = ["before_after", "realism", "run_pictures"]

_MOST_SCORED = 96


def run_pictures(recipe: Recipe, players: Players, pool: Pool, folder: Path, before: Judges | None = None) -> Shown:
    """The gallery, the strips, the answers at the start and at the end, and what was measured of the pool.

    The players stay as they are: answers are asked of copies of the target, or of a target without a module and of
    `before`, the one that the run began with.
    """
    materials = players.materials
    pairs: Sequence[BeforeAfter] = ()
    note = ""
    if (folder / "start.pth").is_file() and (folder / "target.pth").is_file():
        start, kept = (target_with(players.target, folder / name) for name in ("start.pth", "target.pth"))
        pairs, note = before_after(recipe, start, kept, players.test, materials.classes)
    elif before is not None:
        pairs, note = before_after(recipe, before, players.target, players.test, materials.classes)
    failed, strips = failures(recipe, players, pool, folder)
    return Shown(
        ShownFigures(
            hardness=_hardness(pool),
            coverage=_coverage(materials, pool),
            realism=realism(players, pool, folder),
            failures=failed,
            patched=patched(recipe, players, folder),
        ),
        pool_gallery({recipe.synthesis.kind: (materials, pool)}),
        [
            *cycle_sheets(materials, pool),
            *strips,
            *real_and_synthetic(materials, pool, players.train, recipe.seed),
        ],
        pairs,
        note,
    )


def before_after(
    recipe: Recipe, before: Judges, after: Judges, images: RealImages, classes: tuple[str, ...]
) -> tuple[Sequence[BeforeAfter], str]:
    """Images that judge, as the recipe's task shows them of two models, and how they were chosen; nothing without images."""
    if len(images) == 0:
        return (), ""
    answers = task_of(recipe).answers(before, after, images, classes)
    pairs = [
        BeforeAfter(to_uint8(images.fetch(np.array([one.row]))[0])[0], one.before, one.after, one.name)
        for one in answers.changes
    ]
    where = f"On the {judging_images(recipe.model_dump(mode='json'))} images."
    return pairs, f"{where} {answers.note}" if answers.note else ""


def realism(players: Players, pool: Pool, folder: Path) -> Realism | None:
    """How well the run's last discriminator tells composites, and untouched backgrounds, from real images.

    None where the run had no discriminator. Backgrounds without a paste are as real as images get: an AUC far
    from 0.5 on them means that the discriminator knows the data set, not the paste.
    """
    discriminator = kept_discriminator(players.discriminator, folder)
    if discriminator is None or len(pool) == 0:
        return None

    def scores(total: int, fetch: Callable[[np.ndarray], Tensor]) -> Tensor:
        return even_scores(discriminator, total, fetch, _MOST_SCORED)

    materials = players.materials
    real = scores(len(players.train), lambda rows: players.train.fetch(rows)[0])
    plain = scores(len(materials.backgrounds), lambda rows: materials.backgrounds.fetch(rows).images)
    with torch.no_grad():
        drawn = scores(len(pool), lambda rows: materials.render(pool.placements.take(rows)).images.cpu())
    return Realism(composites_auc=auc_of_scores(real, drawn), backgrounds_auc=auc_of_scores(real, plain))


def _coverage(materials: Materials, pool: Pool) -> dict[str, Coverage]:
    """Of the first and the last cycle's harvest, and of the whole pool."""
    parts = {**_ends(pool), **({"whole pool": np.arange(len(pool))} if len(pool) else {})}
    return {
        name: coverage(pool.placements.take(rows), materials.poses, materials.class_of) for name, rows in parts.items()
    }


def _hardness(pool: Pool) -> dict[str, HardnessCounts]:
    """Of the first and the last cycle's harvest."""
    return {name: hardness_counts(pool.placements.hardness[rows].tolist()) for name, rows in _ends(pool).items()}


def _ends(pool: Pool) -> dict[str, np.ndarray]:
    """The rows of the first and the last cycle's harvest; empty where the pool is."""
    cycles = pool.placements.cycle if len(pool) else np.zeros(0, dtype=np.int64)
    found = np.unique(cycles)
    return {f"cycle {cycle}": np.flatnonzero(cycles == cycle) for cycle in dict.fromkeys((*found[:1], *found[-1:]))}
