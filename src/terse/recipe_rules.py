"""Settings of a recipe that do not go together, each with the sentence that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from terse import registry

if TYPE_CHECKING:
    from terse.recipe import Recipe

__all__ = ["check_together"]


_OWN_IMAGES = ("foregrounds", "backgrounds", "train", "val", "test", "judged")


def check_together(recipe: Recipe) -> None:
    """Look at the settings of several parts at once.

    Raises:
        ValueError: two that exclude each other, one that another needs, or a metric that the task does not have.
    """
    pool, synthesis = recipe.pool, recipe.synthesis
    beside = next((name for name in _OWN_IMAGES if getattr(recipe, name) is not None), None)
    if recipe.data is not None and beside is not None:
        raise ValueError(
            f"{beside}: expected nothing beside data: {recipe.data.kind}, which brings its own, got both; "
            "for images of your own set data: null"
        )
    if pool.per_class is None and pool.per_cycle is None:
        raise ValueError("pool: expected per_class or per_cycle, got neither; per_cycle: 500 is the paper's (4.1)")
    if pool.per_class is not None and pool.per_cycle is not None:
        raise ValueError("pool: expected per_class or per_cycle, got both; set the other to null")
    # A task of a package may take any target's answers: a run looks at them before it begins.
    if registry.lookup("task", recipe.task).__module__.startswith("terse."):
        _check_task(recipe)
    known = [metric.name for metric in registry.lookup("task", recipe.task).metrics]
    if recipe.primary is not None and recipe.primary not in known:
        near = registry.nearest(recipe.primary, known)
        raise ValueError(f"primary: expected one of {', '.join(known)}, got {recipe.primary!r}{near}")
    _check_augmentation(recipe)
    if recipe.alternation == "batch":
        _check_batch(recipe)
    if getattr(synthesis, "harvest", "after") == "during":
        if pool.mix is not None:
            raise ValueError(
                "pool.mix: expected synthesis.harvest: after, got during; the batches of training hold no base draws"
            )
        if pool.passes_per_wanted is not None and getattr(synthesis, "feedback", "") != "critic":
            raise ValueError(
                "pool.passes_per_wanted: expected synthesis.harvest: after, got during, which judges all batches of training"
            )


def _check_task(recipe: Recipe) -> None:
    """A target, or a rule of hardness, alone or inside of another rule, that is for another task."""
    answered = getattr(recipe.target, "task", recipe.task)
    if answered != recipe.task:
        raise ValueError(f"task: expected {answered}, which target.kind {recipe.target.kind} is for, got {recipe.task}")
    rules: dict[str, Any] = {"hardness": recipe.hardness, "hardness.of": getattr(recipe.hardness, "of", None)}
    for where, rule in rules.items():
        task = getattr(rule, "task", recipe.task)
        if task != recipe.task:
            raise ValueError(
                f"{where}.kind: expected probability or quantile for {recipe.task}, got {rule.kind}, which is for {task}"
            )


def _check_augmentation(recipe: Recipe) -> None:
    """SSD's own cuts an image by the boxes in it, and moves nothing else: no masks, no keypoints."""
    task = registry.lookup("task", recipe.task)
    boxes_alone = task.predicts_boxes and not task.needs
    for name in ("fine_tune", "pretrain"):
        if getattr(getattr(recipe, name), "augment", None) == "ssd" and not boxes_alone:
            raise ValueError(
                f"{name}.augment: expected true or false for {recipe.task}, got ssd, which is for boxes alone"
            )


def _check_batch(recipe: Recipe) -> None:
    """What `alternation: batch` leaves no room for."""
    pool, where = recipe.pool, "alternation: expected phase where"
    if recipe.fine_tune.evaluate_every is not None:
        raise ValueError(f"{where} fine_tune.evaluate_every is set, got batch, which measures at the end of a cycle")
    if pool.refresh is not None:
        raise ValueError(f"{where} pool.refresh is set, got batch, which draws composites in every step")
    if pool.mix is not None or pool.choose != "first":
        raise ValueError(f"{where} pool.mix or pool.choose is set, got batch, which trains on what it finds")
    if pool.passes_per_wanted is not None:
        raise ValueError(f"{where} pool.passes_per_wanted is set, got batch, which judges in every step")
