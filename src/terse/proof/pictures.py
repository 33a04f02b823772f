"""What the page of a proof shows beside its figures: composites of each arm, answers of the start and the treatment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from terse.page_figures import ShownFigures
from terse.pictures.gallery import BeforeAfter
from terse.pictures.kept_players import target_with
from terse.pictures.page_folder import Shown
from terse.pictures.pool import pool_gallery, pool_strip
from terse.pictures.run_pictures import before_after
from terse.pool import Pool
from terse.pool_shards import shards_in
from terse.proof.arms import NO_ARM, Arm, ArmMaterial, arm_recipe
from terse.proof.results import ProofResult
from terse.proof.summary import finished
from terse.recipe import Recipe
from terse.run import build_players
from terse.sources.run_data import RunData
from terse.synthesis.materials import Materials, materials_of

__all__ = ["proof_pictures"]


def proof_pictures(folder: Path, recipe: Recipe, proof: ProofResult, data: RunData | None = None) -> Shown:
    """The pictures of a finished proof, those of the first seed that every arm has run.

    Args:
        folder: of the proof.
        recipe: that the arms share.
        proof: its result.
        data: material made by the caller instead of the recipe's.
    """
    seed = _common_seed(folder, proof, recipe.seed)
    material = ArmMaterial(recipe, data)
    players = build_players(arm_recipe(recipe, NO_ARM, seed), data=material.shared)
    pools = {}
    for name in proof.arms:
        settings = arm_recipe(recipe, Arm(name, tuple(proof.arm_overrides.get(name, ()))), seed)
        own = material.of(settings)
        materials = materials_of(settings, own, own.train, players.materials.device)
        pool = _pool(folder / "arms" / name / f"seed-{seed}", recipe, materials)
        if pool is not None:
            pools[name] = materials, pool
    weights = [path / f"seed-{seed}" / "target.pth" for path in (folder / "start", folder / "arms" / proof.treatment)]
    pairs: Sequence[BeforeAfter] = ()
    note = ""
    if all(path.is_file() for path in weights):  # kept runs have no weights
        start, treated = (target_with(players.target, path) for path in weights)
        pairs, note = before_after(recipe, start, treated, players.test, players.materials.classes)
    sheets = [pool_strip(*pool, "By arm", arm.replace("_", "-"), seed) for arm, pool in pools.items()]
    return Shown(ShownFigures(seed=seed), pool_gallery(pools), sheets, pairs, note)


def _common_seed(folder: Path, proof: ProofResult, default: int) -> int:
    """The first seed that every arm has run."""
    runs = finished(folder)
    return min(set.intersection(*(set(runs.get(arm, ())) for arm in proof.arms)), default=default)


def _pool(folder: Path, recipe: Recipe, materials: Materials) -> Pool | None:
    """The pool that a run left behind; None where its arm pastes nothing."""
    shards = list(shards_in(folder / "pool").values())
    pool = Pool(folder / "pool", materials.foregrounds, materials.backgrounds, materials.poses)
    pool.load(min(recipe.cycles, len(shards)))
    return pool if len(pool) else None
