"""The guide of a hardness rule: which real images it is, and its gradient in the target, found before each harvest."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from terse.errors import RecipeError
from terse.evaluation.hardness import Passes
from terse.evaluation.helpful import Helpful
from terse.modes import through_weights
from terse.objectives import target_loss_of
from terse.protocols import Judges, is_attackable, trainable
from terse.recipe import Recipe
from terse.recipe_parts import ObjectiveConfig
from terse.sources.run_data import RunData
from terse.synthesis.blind import base_of
from terse.synthesis.proposer import propose
from terse.training.candidates import drawn
from terse.training.seeding import array_generator
from terse.training.session import Session
from terse.types import Truth

__all__ = ["look_at_guide", "take_guide"]

_BATCH = 32


def take_guide(rule: Helpful, recipe: Recipe, target: Judges, data: RunData) -> None:
    """Give the rule the images that steer it: a set of their own, or a part of train.

    Raises:
        RecipeError: the target cannot be steered, or it changes within a harvest.

    Source: ours.
    """
    name = type(target).__name__
    lacking = [part for part in ("module", "train_loss") if not hasattr(target, part)]
    if not is_attackable(target) and not hasattr(target, "attack_loss"):
        lacking.append("evidence or attack_loss")
    if lacking:
        raise RecipeError(
            f"hardness.kind: expected a target with weights to differentiate in for helpful, got {name} without "
            f"{' and '.join(lacking)} (terse.protocols); margin, probability and quantile need confidence and predict alone"
        )
    if recipe.alternation == "batch":
        raise RecipeError(
            "alternation: expected phase with hardness.kind: helpful, whose gradient is found before a harvest, got batch, "
            "which changes the target in every step of it"
        )
    if data.guide is not None:
        rule.guide = (data.guide, np.arange(len(data.guide)))
        return
    count = max(1, round(rule.settings.guide.fraction * len(data.train)))
    chosen = array_generator(recipe.seed, 0, "guide", 0).permutation(len(data.train))[:count]
    rule.guide = (data.train, np.sort(chosen))


def look_at_guide(session: Session, cycle: int, draw: int) -> None:
    """Steer the rule by the target as it is before a harvest; nothing for a rule without a guide.

    A resumed harvest has its cut and has paid for it: the gradient alone is found again, from the same weights.

    Source: ours.
    """
    rule, proposer = session.players.rule, session.players.proposer
    if not isinstance(rule, Helpful) or proposer is None or (draw and not proposer.keeps_hard):
        return
    session.engine.use_threads_to_learn(_BATCH, session.players.materials.canvas_px)
    rows, resumed = _rows(session, rule, cycle, draw), rule.harvest == [cycle, draw]
    length = rule.steer(*_gradient(session, rule, rows))
    session.check_finite("target", torch.tensor(length))
    if resumed:
        return
    passes = Passes(target=len(rows), target_backwards=len(rows)) + _cut(session, rule, cycle, draw)
    if not session.keeps_hard:
        return
    passes.charge(session.costs)
    if not length:
        session.alarm(
            cycle,
            "the target's loss on the guide has no gradient: `hardness.of` alone says what is kept in this harvest",
        )


def _rows(session: Session, rule: Helpful, cycle: int, draw: int) -> Int64[np.ndarray, " n"]:
    """Which of the guide's images a harvest looks at."""
    assert rule.guide is not None, "give the rule its guide first"
    random = array_generator(session.recipe.seed, cycle, "guide of a harvest", draw)
    most = rule.settings.guide.images
    found: Int64[np.ndarray, " n"] = np.sort(random.permutation(rule.guide[1])[:most])
    return found


def _gradient(
    session: Session, rule: Helpful, rows: Int64[np.ndarray, " n"]
) -> tuple[list[nn.Parameter], list[Tensor]]:
    """The weights in which the guide's loss has a gradient, and that gradient: of the mean over the images.

    In float32 and eval mode. Each process finds it for its share of a batch; all have the same sum of them.
    """
    assert rule.guide is not None
    images_of, target, ranks = rule.guide[0], session.players.target, session.engine.ranks
    module = trainable(target).module
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    loss_of = target_loss_of(target, ObjectiveConfig())
    found = [0, False]  # objects, and whether a loss of them differentiates in the weights

    def mean(images: Tensor, truth: Truth) -> tuple[Tensor, float]:
        loss = loss_of(images, truth).mean()
        found[0] += len(truth.labels)
        found[1] |= loss.requires_grad
        return loss if loss.requires_grad else loss + 0.0 * weights[0].sum(), float(len(images))

    before = [weight.grad for weight in weights]
    try:
        for weight in weights:
            weight.grad = None
        for start in range(0, len(rows), _BATCH):
            own = rows[start : start + _BATCH]
            share = ranks.share(len(own))
            images, truth = images_of.fetch(own[share.rows])
            truth = replace(truth, pasted=~truth.ignore).to(session.engine.device)
            with through_weights(weights):
                loss, count = session.memory.mean("guide", mean, module, images.to(session.engine.device), truth)
                part = ranks.mean(loss, count, share) * (len(own) / len(rows))
                part.backward()  # type: ignore[no-untyped-call]
        ranks.sum_gradients(module)
        learned = [weight for weight in weights if weight.grad is not None]
        gradient = [weight.grad.detach().clone() for weight in learned if weight.grad is not None]
    finally:
        for weight, kept in zip(weights, before, strict=True):
            weight.grad = kept
    of_all = ranks.each(found)
    _check_reached(target, sum(one[0] for one in of_all), any(one[1] for one in of_all), len(rows))
    return learned, gradient


def _check_reached(target: Judges, objects: int, reached: bool, images: int) -> None:
    if not objects:
        raise RecipeError(
            f"hardness.guide: expected real images with objects of the task, got {images} without; give it others"
        )
    if not reached:
        method = "evidence" if is_attackable(target) else "attack_loss"
        raise RecipeError(
            f"target: expected {method} that differentiates in the weights for hardness.kind: helpful, got no gradient from "
            f"{type(target).__name__}; freeze them by terse.modes.frozen alone, or take another hardness.kind"
        )


def _cut(session: Session, rule: Helpful, cycle: int, draw: int) -> Passes:
    """Let the rule find its cut from base composites; what that took."""
    placements = propose(
        base_of(session.recipe, session.players.materials, _BATCH),
        rule.settings.probe,
        *(session.recipe.seed, cycle, "guide probe", draw),
    )
    passes, values = Passes(target=len(placements)), []
    for start in range(0, len(placements), _BATCH):
        block = placements.take(np.arange(start, min(start + _BATCH, len(placements))))
        _, composites, share = drawn(session, block)
        with session.engine.autocast():
            verdict, _, helps = rule.measure(session.players.target, composites)
        parts = session.engine.ranks.each((verdict.further, np.zeros(0) if helps is None else helps))[: share.sharing]
        passes = sum((part[0] for part in parts), passes)
        values += [part[1] for part in parts]
    rule.cut_at(np.concatenate(values), (cycle, draw), passes.judging / len(placements))
    return passes
