"""The page of a proof from its folder: arms side by side, from what each of their runs left behind."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from terse.pool import Pool
from terse.proof.arms import arm_recipe
from terse.proof.summary import read_runs
from terse.recipe import Recipe, dump_recipe, load_recipe
from terse.report.answers import before_after, target_of
from terse.report.page import build_page
from terse.report.parts import PageData
from terse.report.pool_pictures import pool_gallery, pool_strip
from terse.report.prove import prove_page
from terse.run import build_players
from terse.synthesis.materials import Materials

__all__ = ["build_proof_page", "proof_page"]


def build_proof_page(folder: Path) -> Path:
    """Write `report.html` into a finished proof's folder.

    Raises:
        RunError: it cannot be written.
    """
    return build_page(proof_page(folder), folder / "report.html")


def proof_page(folder: Path) -> PageData:
    """The page of a finished proof. Pictures are those of the first seed that every arm has run."""
    recipe = load_recipe(folder / "recipe.yaml")
    proof = json.loads((folder / "result.json").read_text("utf-8"))
    runs = read_runs(folder)
    seed = min(set.intersection(*(set(of) for of in runs.values())), default=recipe.seed)
    players = build_players(arm_recipe(recipe, "none", seed), torch.device("cpu"))
    context = players.context
    pools = {arm: pool for arm in runs if (pool := _pool(folder / "arms" / arm / f"seed-{seed}", recipe, context))}
    before, after = (
        target_of(recipe, context.classes, path / f"seed-{seed}" / "target.pth")
        for path in (folder / "start", folder / "arms" / proof["treatment"])
    )
    pairs, note = before_after(recipe, before, after, players.test, context.classes)
    measured: Mapping[str, Mapping[int, Mapping[str, Any]]] = {
        arm: {number: run["measured"] for number, run in of.items()} for arm, of in runs.items()
    }
    hardness = {arm: [value for one in of.values() for value in one["hardness"]] for arm, of in measured.items()}
    coverage = {arm: of[seed].get("coverage") for arm, of in measured.items() if seed in of}
    return prove_page(
        dump_recipe(recipe),
        proof,
        {arm: list(of.values()) for arm, of in runs.items()},
        out=str(folder),
        name=recipe.name,
        gallery=pool_gallery(context, pools),
        sheets=[pool_strip(context, pool, "By arm", arm.replace("_", "-"), seed) for arm, pool in pools.items()],
        before_after=pairs,
        before_after_note=note,
        hardness={arm: values for arm, values in hardness.items() if values},
        coverage={arm: one for arm, one in coverage.items() if one},
        shortcut=proof.get("shortcut"),
    )


def _pool(folder: Path, recipe: Recipe, context: Materials) -> Pool | None:
    """The pool that a run left behind; None where its arm pastes nothing."""
    shards = list((folder / "pool").glob("cycle-*.parquet"))
    pool = Pool(folder / "pool", context.foregrounds, context.backgrounds)
    pool.load(min(recipe.cycles, len(shards)))
    return pool if len(pool) else None
