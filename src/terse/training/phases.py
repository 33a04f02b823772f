"""The two phases that train: the synthesizer against the target, and the target on what it failed (paper 3.4)."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from terse.compositing.artefacts import draw_patches, paste_patches
from terse.discriminator import discriminator_loss, realism_loss
from terse.errors import RecipeError
from terse.objectives import synthesizer_loss
from terse.protocols import RealImages
from terse.recipe import OptimizerConfig, PhaseConfig
from terse.synthesis.proposers import LearnedProposer, draw_pairs
from terse.training.augment import flip_and_crop
from terse.training.harvest import Harvest
from terse.training.measure import measure
from terse.training.pool_images import PoolImages
from terse.training.seeding import array_generator, reseed
from terse.training.session import Session
from terse.types import Composites, Placements, Truth

__all__ = ["synthesizer_phase", "synthesizer_step", "target_phase", "with_artefacts"]


def synthesizer_phase(session: Session, cycle: int) -> None:
    """Train the synthesizer with the target frozen; with `harvest: during`, keep the hard ones as they come.

    Ends after `steps`; while the harvest is not full it goes on, `max_steps` at most.

    Source: paper 3.4 and A.1 ("until we find 500 hard examples per class").
    """
    proposer = session.players.proposer
    if not isinstance(proposer, LearnedProposer):
        return
    settings = proposer.settings
    first = session.enter(cycle, "synthesizer", settings.steps)
    if first is None:
        return
    module = session.players.target.module
    harvest = Harvest(session, cycle) if settings.harvest == "during" else None
    optimizer = session.optimizer("synthesizer", proposer.module, _maker(settings.optimizer))
    session.use_threads(settings.batch_size * session.players.context.canvas_px**2)
    trainable = [p for p in module.parameters() if p.requires_grad]
    if session.players.discriminator is not None:
        trainable += list(session.players.discriminator.parameters())
    for parameter in trainable:
        parameter.requires_grad_(False)
    step = first
    try:
        while step < settings.steps or (harvest and harvest.quota.missing and step < settings.max_steps):
            generator = reseed(session.recipe.seed, cycle, "synthesizer", step)
            _set_rate(optimizer, settings.optimizer, step, settings.steps, cycle)
            placements, composites, loss = synthesizer_step(
                session, proposer, optimizer, settings.batch_size, generator
            )
            step += 1
            if harvest and step > settings.harvest_from:
                harvest.take(placements, composites, keeps_hard=True)
                session.carried["harvest"] = harvest.state()
            session.tick(fooling=loss, **({"hard_rate": harvest.hard / max(1, harvest.judged)} if harvest else {}))
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
    if harvest:
        session.facts["harvest"] = harvest.close()
    session.leave()


def synthesizer_step(
    session: Session,
    proposer: LearnedProposer,
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    generator: torch.Generator,
) -> tuple[Placements, Composites, float]:
    """One update of the synthesizer: pose, paste, let the target fail, follow the gradient (Eq. 3).

    Returns:
        The step's placements, their composites without gradient, and the target's mean loss.

    Raises:
        Diverged: the loss is not finite.

    Source: paper 3.4: the synthesizer is updated with target and discriminator fixed.
    """
    players, device = session.players, session.device
    context = players.context
    foreground, background = draw_pairs(context, batch_size, generator)
    cut = context.foregrounds.fetch(foreground).to(device)
    below = context.backgrounds.fetch(background).to(device)
    proposer.module.train()
    with session.autocast():
        pose = proposer.poses(cut, below, generator)
    images, layer = context.render.paste(below.images, cut, pose)
    seen = context.render.truth(below, layer)
    clean = images.detach()
    images = with_artefacts(session, images, seen.truth, generator)
    with session.autocast():
        attack = players.target.attack_loss(images, seen.truth)
        judged = players.discriminator(images) if players.discriminator is not None else None
    if not attack.requires_grad:
        raise RecipeError(
            "target: expected attack_loss to be differentiable in the pixels, got no gradient; "
            "the learned arm cannot see what makes it fail, synthesis.kind=mined can"
        )
    realism = None if judged is None else realism_loss(judged.float(), session.recipe.objective.realism_form)
    visible = torch.ones_like(attack)
    visible[seen.truth.image_index[seen.truth.pasted & seen.truth.ignore]] = 0
    limits = torch.tensor(context.poses.ranges, device=device)
    unit = (pose - limits[:, 0]) / (limits[:, 1] - limits[:, 0]).clamp(min=1e-9)
    loss = synthesizer_loss(attack.float(), realism, unit, session.recipe.objective, visible)
    session.check_finite("synthesizer", loss.total)
    optimizer.zero_grad()
    loss.total.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    session.costs.synthesizer_forwards += batch_size
    session.costs.target_forwards += batch_size
    session.costs.target_backwards += batch_size
    placements = Placements.single(background, foreground, pose.detach().double().cpu().numpy())
    return placements, Composites(clean, seen.truth, seen.visible_fraction), float(loss.fooling)


def target_phase(session: Session, cycle: int, settings: PhaseConfig, phase: str = "target") -> None:
    """Train the target on real images and the pool, mixed as the recipe says.

    Source: paper 3.4 and A.1; the mixture 1 : 1 from Table 2, column 5.
    """
    planned = _planned_pool(session, cycle) if phase == "target" else 0
    pooled = len(session.pool) if phase == "target" else 0
    plan = _Plan(session, settings, cycle, phase, pooled, planned)
    first = session.enter(cycle, phase, plan.steps)
    if first is None:
        return
    pool = PoolImages(session.pool, session.players.context) if pooled else None
    target, device = session.players.target, session.device
    target.module.to(memory_format=torch.channels_last)
    optimizer = session.optimizer("target", target.module, _maker(settings.optimizer))
    session.use_threads(settings.batch_size * session.players.context.canvas_px**2)
    for step in range(first, plan.steps):
        generator = reseed(session.recipe.seed, cycle, phase, step)
        _set_rate(optimizer, settings.optimizer, step, plan.steps, cycle)
        images, truth = _fetch(session.players.train, pool, plan.batch(step))
        images = with_artefacts(session, images.to(device), truth, generator)
        if settings.augment:
            images, truth = flip_and_crop(images, truth, generator)
        with session.autocast():
            loss = target.train_loss(images.to(device), truth.to(device))
        session.check_finite("target", loss)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.optimizer.max_grad_norm:
            nn.utils.clip_grad_norm_(target.module.parameters(), settings.optimizer.max_grad_norm)
        optimizer.step()
        if phase == "target":
            session.costs.target_forwards += truth.batch_size
            session.costs.target_backwards += truth.batch_size
            _discriminator_step(session, images, truth)
        if settings.evaluate_every and (step + 1) % (settings.evaluate_every * plan.steps_an_epoch) == 0:
            _curve_point(session, cycle, step + 1)
        session.tick(loss=float(loss.detach()))
    session.leave()


def _discriminator_step(session: Session, images: Tensor, truth: Truth) -> None:
    """Train the discriminator on the batch that the target saw, real against pasted (Eq. 2)."""
    discriminator, proposer = session.players.discriminator, session.players.proposer
    fake = torch.zeros(truth.batch_size, dtype=torch.bool)
    fake[truth.image_index[truth.pasted].cpu()] = True
    if discriminator is None or not isinstance(proposer, LearnedProposer) or not fake.any() or fake.all():
        return
    optimizer = session.optimizer("discriminator", discriminator, _discriminator_maker(proposer))
    with session.autocast():
        logits = discriminator(images.to(session.device)).float()
    loss = discriminator_loss(logits[~fake], logits[fake])
    session.check_finite("discriminator", loss)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _discriminator_maker(proposer: LearnedProposer) -> Callable[[nn.Module], torch.optim.Optimizer]:
    return _maker(OptimizerConfig(name="adam", lr=proposer.settings.discriminator_settings.lr, weight_decay=0))


def _curve_point(session: Session, cycle: int, step: int) -> None:
    """Measure inside a phase; the target's next step does not depend on it."""
    with session.autocast():
        found = measure(session.recipe.task, session.players.target, session.players.val, session.device)
    session.facts.setdefault("curve", []).append({"cycle": cycle, "step": step, **found})
    session.observer.say(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items() if isinstance(v, float)))


class _Plan:
    """Which real and which pooled images each step sees; a function of the seed alone.

    The number of steps is that of a pool as large as planned, whatever an arm found: arms then train alike.
    """

    def __init__(
        self, session: Session, settings: PhaseConfig, cycle: int, phase: str, pooled: int, planned: int
    ) -> None:
        self._seed, self._cycle, self._phase = session.recipe.seed, cycle, phase
        self._real, self._pooled = len(session.players.train), pooled
        # The arm without synthetic images sees as many real ones instead.
        virtual = planned if session.players.proposer is None else 0
        ratio = settings.real_per_synthetic
        self._real_an_epoch = self._mixed(ratio, pooled or virtual) + (virtual if ratio != "all" else 0)
        self._batch = settings.batch_size
        self.steps_an_epoch = self._epoch_of(self._real_an_epoch + pooled)
        steps = self._epoch_of(self._mixed(ratio, planned) + planned)
        self.steps = (settings.steps or settings.epochs * steps) if self.steps_an_epoch else 0
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def _mixed(self, ratio: float | str, synthetic: int) -> int:
        """Real images for so many synthetic ones."""
        return self._real if ratio == "all" or not synthetic else round(float(ratio) * synthetic)

    def _epoch_of(self, images: int) -> int:
        return max(1, math.ceil(images / self._batch)) if images else 0

    def batch(self, step: int) -> Int64[np.ndarray, " b"]:
        """Numbers below the count of real images are real, the rest pooled."""
        epoch, within = divmod(step, self.steps_an_epoch)
        if epoch != self._epoch:
            rng = array_generator(self._seed, self._cycle, self._phase, epoch)
            real = _sample(rng, self._real, self._real_an_epoch)
            self._order = rng.permutation(np.concatenate([real, self._real + np.arange(self._pooled)]))
            self._epoch = epoch
        return self._order[within * self._batch : (within + 1) * self._batch]


def _sample(rng: np.random.Generator, available: int, wanted: int) -> Int64[np.ndarray, " k"]:
    """Without repeats as long as there are enough, else every one equally often."""
    rounds = max(1, math.ceil(wanted / max(1, available)))
    return np.concatenate([rng.permutation(available) for _ in range(rounds)])[:wanted]


def _planned_pool(session: Session, cycle: int) -> int:
    """What the pool should hold by now."""
    pool = session.recipe.pool
    a_cycle = pool.per_cycle or (pool.per_class or 0) * len(session.players.context.classes)
    return cycle * a_cycle


def with_artefacts(session: Session, images: Tensor, truth: Truth, generator: torch.Generator) -> Tensor:
    """Patches of other backgrounds, at one rate on real and synthetic images: pasting gives nothing away.

    Source: paper 3.1.
    """
    settings, context = session.recipe.artefacts, session.players.context
    if settings.count == 0 or settings.probability == 0:
        return images
    size_px = (images.shape[-2], images.shape[-1])
    blur_px = session.recipe.edges.blur_sigma_px if session.recipe.edges is not None else 0.0
    banks = (context.foregrounds, context.backgrounds)
    patches = draw_patches(truth, size_px, *banks, context.poses, settings, generator, blur_sigma_px=blur_px)
    return paste_patches(images, patches, context.render)


def _fetch(real: RealImages, pool: PoolImages | None, numbers: Int64[np.ndarray, " b"]) -> tuple[Tensor, Truth]:
    of_pool = numbers >= len(real)
    images, truth = real.fetch(numbers[~of_pool])
    if pool is None or not of_pool.any():
        return images, truth
    made, made_truth = pool.fetch(numbers[of_pool] - len(real))
    return torch.cat([images, made]), Truth.join([truth, made_truth])


def _maker(settings: OptimizerConfig) -> Callable[[nn.Module], torch.optim.Optimizer]:
    def make(module: nn.Module) -> torch.optim.Optimizer:
        parameters = [p for p in module.parameters() if p.requires_grad]
        if not parameters:
            raise RecipeError("target: expected parameters to train, got none that require a gradient")
        if settings.name == "adam":
            return torch.optim.Adam(parameters, lr=settings.lr, weight_decay=settings.weight_decay, fused=True)
        return torch.optim.SGD(
            parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, fused=True
        )

    return make


def _set_rate(optimizer: torch.optim.Optimizer, settings: OptimizerConfig, step: int, steps: int, cycle: int) -> None:
    """The learning rate of a step, from its number alone: nothing to keep in a checkpoint."""
    peak = settings.later_lr if settings.later_lr is not None and cycle >= settings.later_from else settings.lr
    done = step / max(1, steps)
    if settings.schedule == "cosine":
        peak *= (1 + math.cos(math.pi * min(1.0, done))) / 2
    elif settings.schedule == "one_cycle":
        rise = 0.3
        if done < rise:
            peak *= 0.04 + 0.96 * (1 - math.cos(math.pi * done / rise)) / 2
        else:
            peak *= (1 + math.cos(math.pi * min(1.0, (done - rise) / (1 - rise)))) / 2
    for group in optimizer.param_groups:
        group["lr"] = peak
