"""`terse report RUN`: the page of a run from its folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from terse.errors import RunError
from terse.evaluation.coverage import coverage
from terse.pool import Pool
from terse.recipe import Recipe
from terse.report.answers import before_after, target_of
from terse.report.beside import beside_sheets, beside_table
from terse.report.build import train_page
from terse.report.page import build_page
from terse.report.parts import BeforeAfter, PageData
from terse.report.pool_pictures import cycle_sheets, pool_gallery, real_and_synthetic
from terse.report.realism import realism_table
from terse.results import Coverage, HardnessCounts, hardness_counts, read_run
from terse.run import open_run
from terse.synthesis.materials import Materials
from terse.training.session import Players

__all__ = ["build_run_page", "run_page"]


def build_run_page(folder: Path, beside: Sequence[Path] = ()) -> Path:
    """Write `report.html` into the folder of a finished run, proof or data set.

    Args:
        folder: of it.
        beside: other runs, whose composites and figures a run's page shows beside its own.

    Raises:
        RunError: the folder holds no finished run, or cannot be written.
    """
    is_proof, is_set = (folder / "start").is_dir(), (folder / "placements.parquet").is_file()
    if beside and (is_proof or is_set):
        held = "a proof" if is_proof else "a data set"
        raise RunError(f"--beside: expected the page of a run, got that of {held} in {folder}; give a run's folder")
    if is_proof and (folder / "result.json").is_file():
        from terse.report.proof_page import build_proof_page

        return build_proof_page(folder)
    if is_set:
        from terse.report.set_page import build_set_page

        return build_set_page(folder)
    return build_page(run_page(folder, beside), folder / "report.html")


def run_page(folder: Path, beside: Sequence[Path] = ()) -> PageData:
    """The page of a finished run, its composites rendered again from the pool."""
    recipe, _, players, pool = open_run(folder)
    pairs, note = _answers(recipe, players, folder)
    realism = realism_table(players, pool, folder)
    return train_page(
        (folder / "recipe.yaml").read_text("utf-8"),
        read_run(folder),
        name=recipe.name,
        gallery=pool_gallery(players.context, {recipe.synthesis.kind: pool}),
        sheets=[
            *cycle_sheets(players.context, pool),
            *real_and_synthetic(players.context, pool, players.train, recipe.seed),
            *(beside_sheets([folder, *beside]) if beside else []),
        ],
        before_after=pairs,
        before_after_note=note,
        hardness=_hardness(pool),
        coverage=_coverage(players.context, pool),
        tables=[*([realism] if realism else []), *([beside_table([folder, *beside])] if beside else [])],
    )


def _coverage(context: Materials, pool: Pool) -> dict[str, Coverage]:
    """Of the first and the last cycle's harvest, and of the whole pool."""
    if len(pool) == 0:
        return {}
    placements = pool.placements
    cycles = placements.cycle
    parts = {f"cycle {cycle}": np.flatnonzero(cycles == cycle) for cycle in dict.fromkeys((cycles.min(), cycles.max()))}
    named = {**parts, "whole pool": np.arange(len(pool))}
    return {name: coverage(placements.take(rows), context.poses) for name, rows in named.items()}


def _hardness(pool: Pool) -> dict[str, HardnessCounts]:
    """Of the first and the last cycle's harvest."""
    if len(pool) == 0:
        return {}
    found = pool.placements
    ends = dict.fromkeys((int(found.cycle.min()), int(found.cycle.max())))
    return {f"cycle {cycle}": hardness_counts(found.hardness[found.cycle == cycle].tolist()) for cycle in ends}


def _answers(recipe: Recipe, players: Players, folder: Path) -> tuple[Sequence[BeforeAfter], str]:
    """Between the start, where it can still be had, and the kept target."""
    written = folder / "start.pth"
    if recipe.pretrain is not None and not written.is_file():
        return (), ""
    classes = players.context.classes
    start = target_of(recipe, classes, written if written.is_file() else None)
    return before_after(recipe, start, players.target, players.test, classes)
