"""The references of a hardness rule: made, trained once before the first cycle, and compared with the target."""

import copy

import numpy as np
import torch
from jaxtyping import Int64

from terse.errors import RecipeError
from terse.evaluation.learnable import ReferenceRule, halves_of
from terse.placements import Placements
from terse.protocols import Judges, is_trainable, trainable
from terse.recipe import Recipe
from terse.sources.annotations import Annotations
from terse.synthesis.blind import base_of
from terse.synthesis.materials import ByClass, Materials
from terse.synthesis.proposer import propose
from terse.targets.copies import copy_of
from terse.training.batches import mixed_batch
from terse.training.engine import Engine
from terse.training.optimizers import optimizer_maker, set_rate
from terse.training.pool_images import PoolImages
from terse.training.ranks import Share
from terse.training.seeding import array_generator, reseed
from terse.training.session import Session
from terse.training.target_step import target_step
from terse.types import Composites, Truth

__all__ = ["classes_of_one_cluster", "compare_reference", "make_references", "reference_phase"]

_BLOCK = 50
_PHASE = "warm_up"  # of cycle 0, where nothing else is warmed up


def make_references(rule: ReferenceRule, recipe: Recipe, target: Judges, materials: Materials, engine: Engine) -> None:
    """Two copies of the target before its training, or of the reference that the recipe names.

    Raises:
        RecipeError: the target only judges and the recipe names none, or a class has one photograph,
            or the model holds what cannot be copied.

    Source: ours.
    """
    named = rule.settings.target
    if named is not None:
        reseed(recipe.seed, 0, "reference weights", 0)  # the same in every arm, whatever its own networks drew
        model = named.build(classes=materials.classes, canvas_px=recipe.canvas_px)
        engine.prepare(trainable(model).module)
    else:
        model = target
        if not is_trainable(target):
            raise RecipeError(
                "hardness.reference.target: expected a model that can be trained, since the target only judges, got none; "
                "for example hardness.reference.target={kind: ssdlite_mobilenet_v2}"
            )
    bank = materials.foregrounds
    rule.halves = halves_of(bank.keys, bank.labels, bank.classes, materials.of_task.tolist())
    rule.references = (copy_of(model), copy_of(model))


def reference_phase(session: Session) -> None:
    """Train the judge of each half on real images and on base composites of the other half; nothing without a reference.

    Source: ours.
    """
    rule = session.players.rule
    if not isinstance(rule, ReferenceRule) or not session.recipe.cycles:
        return
    settings = rule.settings
    first = session.enter(0, _PHASE, 2 * settings.steps)
    if first is None:
        return
    session.engine.use_threads_to_learn(settings.batch_size, session.players.materials.canvas_px)
    for step in range(first, 2 * settings.steps):
        judges, own = divmod(step, settings.steps)
        generator = reseed(session.recipe.seed, 0, "reference", step, rank=session.engine.rank)
        assert rule.references is not None
        reference = trainable(rule.references[judges])
        optimizer = session.optimizers.get(f"reference {judges}", reference.module, optimizer_maker(settings.optimizer))
        set_rate(optimizer, settings.optimizer, own, settings.steps, cycle=0, cycles=1)
        batch, share = _batch(session, rule, 1 - judges, step)
        loss = target_step(session, settings, optimizer, batch, generator, share, reference=reference)
        session.tick(loss=loss)
    for judges in (0, 1):
        session.optimizers.forget(f"reference {judges}")
    count = settings.batch_size - settings.batch_size // 2
    session.facts["reference"] = {"reference_steps": settings.steps, "reference_composites": settings.steps * count}
    clusters = session.recipe.test_groups.clusters
    known = classes_of_one_cluster(getattr(session.players.train, "annotations", None), clusters)
    if known and session.keeps_hard:
        session.alarm(
            0,
            f"the references have seen the objects of {', '.join(known)}: all their photographs in train have one {clusters}, "
            "so what they get right of the other half tells less",
        )
    session.leave()


def classes_of_one_cluster(annotations: Annotations | None, field: str | None) -> list[str]:
    """Classes of which every object is in images of one and the same value of a field, such as one video.

    Source: ours.
    """
    values = annotations.field(field) if annotations is not None and field is not None else ()
    if annotations is None or not any(values):
        return []
    found = []
    for label, name in enumerate(annotations.classes):
        own = {values[image] for image in annotations.image_index[annotations.labels == label].tolist()}
        if len(own) == 1 and None not in own:
            found.append(name)
    return found


def compare_reference(session: Session, cycle: int) -> None:
    """Who knows base composites better, reference or target? A change of rule is said.

    Of an arm that keeps only hard ones the passes are counted; for the others it is a measurement.

    Source: ours.
    """
    rule, materials = session.players.rule, session.players.materials
    if not isinstance(rule, ReferenceRule) or rule.fallen_back or not session.recipe.cycles:
        return
    placements = propose(
        base_of(session.recipe, materials, _BLOCK), rule.settings.probe, session.recipe.seed, 0, "reference probe"
    )
    parts: list[tuple[Composites, Placements]] = []
    for rows in np.array_split(np.arange(len(placements)), -(-len(placements) // _BLOCK)):
        some = placements.take(rows)
        with torch.no_grad():
            parts.append((materials.render(some), some))
    with session.engine.autocast():
        passes = rule.compare(session.players.target, parts)
    if session.keeps_hard:
        session.costs.judging_passes += passes
    assert rule.accuracy is not None
    reference, target = rule.accuracy
    session.facts.setdefault("reference", {}).update(reference_accuracy=reference, target_on_reference=target)
    if rule.fallen_back and session.keeps_hard:
        session.alarm(
            cycle,
            f"the target is right on {target:.0%} of base composites and the reference on {reference:.0%}: "
            "from here on `hardness.of` alone says what is kept",
        )


def _batch(
    session: Session, rule: ReferenceRule, half: int, step: int
) -> tuple[tuple[torch.Tensor, Truth, Int64[np.ndarray, " own"]], Share]:
    """Real images, and as many fresh base composites of one half's cut-outs."""
    settings, players, seed = rule.settings, session.players, session.recipe.seed
    random = array_generator(seed, 0, "reference", step)
    numbers = random.integers(len(players.train), size=settings.batch_size // 2)
    assert rule.halves is not None
    materials = _of_half(players.materials, np.flatnonzero(rule.halves == half))
    arm = base_of(session.recipe, materials, _BLOCK)
    placements = propose(arm, settings.batch_size - len(numbers), seed, 0, "reference", step)
    of_pool = len(players.train) + np.arange(len(placements))
    return mixed_batch(session, PoolImages(placements, materials, keep=False), np.concatenate([numbers, of_pool]))


def _of_half(materials: Materials, rows: np.ndarray) -> Materials:
    """The same materials, of which only these foregrounds are pasted."""
    half = copy.copy(materials)
    half.__dict__["by_class"] = ByClass(materials.foregrounds.labels, rows)
    half.__dict__.pop("of_task", None)
    return half
