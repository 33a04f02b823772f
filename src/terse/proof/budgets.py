"""Two ways to compare arms: with judging free, and with as many judging passes for every arm.

Pools and target steps are equal in both. Where judging is bounded, base draws that nobody judged fill what an arm did
not find, so an arm that finds more for a pass trains on more of what it chose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from terse.proof.arms import Arm
from terse.proof.intervals import paired_gain
from terse.proof.results import BudgetTable
from terse.registry import kinds, lookup

if TYPE_CHECKING:
    from terse.proof.summary import ArmRun
    from terse.recipe import Recipe

__all__ = ["budget_tables", "with_bounds"]

_MINED = "mined"
_CONFIDENCE = 0.95
_PerSeed = Mapping[str, Mapping[int, Sequence[float]]]


def with_bounds(recipe: Recipe, arms: Sequence[Arm], bounds: Sequence[float]) -> list[Arm]:
    """The arms, and each that judges once more under every bound of judging passes for each wanted composite."""
    bounded = [_bounded(arm, bound) for bound in bounds for arm in arms if _judges(recipe, arm)]
    return [*arms, *bounded]


def budget_tables(
    runs: Mapping[str, Mapping[int, ArmRun]],
    per_seed: Mapping[str, Mapping[int, float]],
    units: _PerSeed,
    halves: _PerSeed,
    *,
    larger_is_better: bool,
) -> list[BudgetTable]:
    """*quality*, and a *budget* table for each bound that some arm ran under."""
    bound_of = {arm: next(iter(of.values())).passes_per_wanted for arm, of in runs.items()}
    spent = {
        arm: sum(c.judging_passes or 0 for run in of.values() for c in run.result.cycles) for arm, of in runs.items()
    }
    signed = per_seed
    if not larger_is_better:
        signed = {arm: {s: -value for s, value in of.items()} for arm, of in per_seed.items()}
        units, halves = (
            {arm: {s: [-one for one in of[s]] for s in of} for arm, of in parts.items()} for parts in (units, halves)
        )
    tables = []
    for bound in sorted({*bound_of.values()}, key=lambda one: (one is not None, one)):
        arms = [arm for arm, own in bound_of.items() if own == bound or (own is None and not spent[arm])]
        mined = next((arm for arm in arms if arm == _MINED or arm == _bounded(Arm(_MINED), bound).name), None)
        rivals = [arm for arm in arms if mined and arm != mined and set(runs[arm]) & set(runs[mined])]
        over = {arm: paired_gain(signed, units, arm, mined or "", _CONFIDENCE, halves) for arm in rivals}
        tables.append(BudgetTable(passes_per_wanted=bound, arms=arms, over_mined={**over}))
    return tables


def _bounded(arm: Arm, bound: float | None) -> Arm:
    if bound is None:
        return arm
    kind = (f"synthesis.kind={arm.name}",) if arm.name in kinds("synthesis") else ()
    return Arm(
        f"{arm.name}-{bound:g}-passes".replace(".", "_"), (*kind, *arm.overrides, f"pool.passes_per_wanted={bound:g}")
    )


def _judges(recipe: Recipe, arm: Arm) -> bool:
    """Whether the arm asks the target which composites to keep."""
    from terse.proof.arms import arm_recipe

    return bool(getattr(lookup("synthesis", arm_recipe(recipe, arm, recipe.seed).synthesis.kind), "judges", False))
