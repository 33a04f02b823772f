"""The two phases that train: the synthesizer against the target, and the target on what it failed (paper 3.4)."""

from functools import partial

import torch

from terse.compositing.truth import visible_shares
from terse.discriminator import realism_loss
from terse.draws import seeds_of
from terse.errors import RecipeError
from terse.modes import frozen
from terse.objectives import clip_composites, crowding_loss, synthesizer_loss, target_loss_of
from terse.placements import Placements
from terse.pose_entropy import free_unit_poses
from terse.protocols import network_of, trainable
from terse.recipe_parts import PhaseConfig
from terse.requests import Requests
from terse.synthesis.learned.modes import settle_statistics
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import pastes_of
from terse.tasks.task import task_of
from terse.training.batches import mixed_batch, prefetch, prefetch_mixed, with_artefacts
from terse.training.candidates import hidden
from terse.training.harvest import Harvest
from terse.training.optimizers import optimizer_maker, set_rate
from terse.training.plan import TargetPlan
from terse.training.realism import discriminator_step
from terse.training.seeding import reseed
from terse.training.session import Session
from terse.training.supply import Supply
from terse.training.target_step import target_step
from terse.types import Composites

__all__ = [
    "restart_synthesizer",
    "settle_synthesizer",
    "synthesizer_phase",
    "synthesizer_step",
    "target_phase",
]


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
    if settings.restart and cycle > 1 and first == 0:
        restart_synthesizer(session, proposer, cycle)
    harvest = Harvest(session, cycle) if settings.harvest == "during" else None
    optimizer = session.optimizers.get("synthesizer", proposer.module, optimizer_maker(settings.optimizer))
    session.engine.use_threads_to_learn(settings.batch_size, session.players.materials.canvas_px)
    step = first
    with frozen(network_of(session.players.target), session.players.discriminator):
        while step < settings.steps or (harvest and harvest.quota.missing and step < settings.max_steps):
            generator = reseed(session.recipe.seed, cycle, "synthesizer", step, rank=session.engine.rank)
            set_rate(optimizer, settings.optimizer, step, settings.steps, cycle, session.recipe.cycles)
            requests, following = (
                proposer.requests(seeds_of(session.recipe.seed, cycle, "synthesizer", k, count=settings.batch_size))
                for k in (step, step + 1)
            )
            share = session.engine.ranks.share(len(requests))
            _prefetch(session, following.take(share.rows))
            placements, composites, loss = synthesizer_step(session, proposer, optimizer, requests, generator)
            step += 1
            if harvest and step > settings.harvest_from:
                harvest.take(placements, composites, keeps_hard=True, share=share)
                session.carried["harvest"] = harvest.state()
            rate = {"hard_rate": harvest.tally.hard_rate} if harvest else {}
            entropy = session.pose_entropy
            session.tick(fooling=loss, **rate, **({"pose_coverage": entropy.coverage} if entropy else {}))
    if harvest:
        session.facts["harvest"] = harvest.close()
    session.facts["synthesizer"] = settle_synthesizer(session, proposer, cycle)
    session.leave()


def settle_synthesizer(session: Session, proposer: LearnedProposer, cycle: int) -> dict[str, float]:
    """Make drawing what training was; figures of both for the cycle's row.

    Source: ours.
    """
    pairs = proposer.settings.statistics_pairs
    with session.engine.autocast():
        seeds = seeds_of(session.recipe.seed, cycle, "statistics", 0, count=pairs)
        figures = {"mode_difference": settle_statistics(proposer, seeds)}
    session.costs.synthesizer_forwards += pairs
    if session.pose_entropy:
        figures["pose_coverage"] = session.pose_entropy.coverage
    return figures


def restart_synthesizer(session: Session, proposer: LearnedProposer, cycle: int) -> None:
    """Other first weights, drawn for this cycle, and an optimiser that remembers nothing.

    Source: ours.
    """
    reseed(session.recipe.seed, cycle, "synthesizer weights", 0)
    proposer.module.load_state_dict(proposer.settings.network_for(proposer.materials).state_dict())
    session.optimizers.forget("synthesizer")


def _prefetch(session: Session, requests: Requests) -> None:
    """Have what the next step pastes decoded while this one runs."""
    materials = session.players.materials
    prefetch(materials.foregrounds, pastes_of(materials, requests).foreground)
    prefetch(materials.backgrounds, requests.background)


def synthesizer_step(
    session: Session,
    proposer: LearnedProposer,
    optimizer: torch.optim.Optimizer,
    requests: Requests,
    generator: torch.Generator,
) -> tuple[Placements, Composites, float]:
    """One update of the synthesizer: pose, paste, let the target fail, follow the gradient (Eq. 3).

    The generator draws artefact patches. A process of several does this for its own share of the requests; the loss is
    that of all of them.

    Returns:
        The placements of this process, their composites without gradient, and the target's mean loss.

    Raises:
        Diverged: the loss is not finite.

    Source: paper 3.4: the synthesizer is updated with target and discriminator fixed.
    """
    players, device, ranks = session.players, session.engine.device, session.engine.ranks
    materials, share = players.materials, ranks.share(len(requests))
    requests = requests if ranks.alone else requests.take(share.rows)
    pastes = pastes_of(materials, requests)
    cut = materials.foregrounds.fetch(pastes.foreground).to(device)
    below = materials.backgrounds.fetch(requests.background).to(device)
    proposer.module.train()
    objective = session.recipe.objective
    with session.engine.autocast():
        raw = proposer.raw_poses(cut, below, pastes, requests)
    session.check_finite("synthesizer", raw.detach().float().sum())
    pose = proposer.mapped(raw, pastes.label)
    placements = proposer.placed(requests, pastes, pose.detach().cpu().double().numpy())
    images, layers = materials.render.layers(below, placements, pose, cut)
    seen = materials.render.truth(below, layers)
    clean = images.detach()
    images = with_artefacts(session, images, seen.truth, requests.background, generator, share)
    with session.engine.autocast():
        attack = session.memory.rows("synthesizer", target_loss_of(players.target, objective), images, seen.truth)
        judged = players.discriminator(images) if players.discriminator is not None else None
    attack = ranks.rows(attack.float(), share)
    realism = None
    if judged is not None:
        realism = ranks.rows(realism_loss(judged.float(), objective.effective_realism_form), share)
    visible = ranks.rows(torch.from_numpy(~hidden(seen)).to(attack), share)
    of_pastes = free_unit_poses(materials.poses.joint, pose, pastes.label, materials.foregrounds.classes)
    unit = ranks.rows(of_pastes, share, pastes.image_index)
    entropy = session.pose_entropy.loss(unit) if session.pose_entropy else None
    crowding = None
    if ranks.any(len(layers) > 1):
        covered, shown = (ranks.mixed_rows(part, share) for part in visible_shares(layers, len(below)))
        crowding = crowding_loss(covered, shown, objective, proposer.limits.max_overlap)
    loss = synthesizer_loss(attack, realism, unit, objective, visible, entropy, crowding)
    if not bool(torch.isfinite(attack).all()) and bool(torch.isfinite(images).all()):
        raise RecipeError(
            f"target: expected a finite loss of each composite, got {attack.tolist()} of {type(players.target).__name__}; "
            "synthesis.kind=mined and synthesis.feedback=critic need no gradient"
        )
    session.check_finite("synthesizer", loss.total)
    gathered = partial(ranks.mixed_rows, share=share)
    scale = session.engine.scales.of("synthesizer")
    weight = session.realism_weight
    scalar = weight.scalar(loss, raw, gathered, scale) if weight else loss.total
    composite = torch.from_numpy(pastes.image_index).to(raw.device)
    # Now, so that the lengths that weigh realism are whole.
    clip_composites(raw, objective.max_pose_gradient, composite, max(1, int(visible.sum())), scale)
    session.update("synthesizer", scalar, proposer.module, optimizer, proposer.settings.optimizer)
    session.costs.synthesizer_forwards += share.total
    session.costs.target_forwards += share.total
    session.costs.target_backwards += share.total
    session.costs.judging_passes += 3 * share.total
    return placements, Composites(clean, seen.truth, seen.visible_fraction), float(loss.fooling.detach())


def target_phase(session: Session, cycle: int, settings: PhaseConfig, phase: str = "target") -> None:
    """Train the target on real images and the pool, mixed as the recipe says.

    Source: paper 3.4 and A.1; the mixture 1 : 1 from Table 2, column 5.
    """
    supply = Supply(session, settings, cycle, phase)
    plan = TargetPlan(session, settings, cycle, phase, supply.count, supply.planned)
    first = session.enter(cycle, phase, plan.steps)
    if first is None:
        return
    module = trainable(session.players.target).module
    optimizer = session.optimizers.get("target", module, optimizer_maker(settings.optimizer))
    session.engine.use_threads_to_learn(settings.batch_size, session.players.materials.canvas_px)
    for step in range(first, plan.steps):
        pool = supply.at(step // plan.steps_an_epoch)
        generator = reseed(session.recipe.seed, cycle, phase, step, rank=session.engine.rank)
        set_rate(optimizer, settings.optimizer, step, plan.steps, cycle, session.recipe.cycles)
        batch, share = mixed_batch(session, pool, plan.batch(step))
        if step + 1 < plan.steps:
            prefetch_mixed(session, pool, plan.batch(step + 1))
        loss = target_step(session, settings, optimizer, batch, generator, share)
        if phase == "target":
            session.costs.target_forwards += share.total
            session.costs.target_backwards += share.total
            discriminator_step(session, pool, cycle, step)
        if settings.evaluate_every and (step + 1) % (settings.evaluate_every * plan.steps_an_epoch) == 0:
            _curve_point(session, cycle, step + 1)
        session.tick(loss=loss)
    session.leave()


def _curve_point(session: Session, cycle: int, step: int) -> None:
    """Measure inside a phase; the target's next step does not depend on it."""
    with session.engine.autocast():
        found = task_of(session.recipe).measure(session.players.target, session.players.val, session.engine.device)
    session.facts.setdefault("curve", []).append({"cycle": cycle, "step": step, **found})
    session.observer.say(f"step {step}: " + ", ".join(f"{k} {v:.3f}" for k, v in found.items() if isinstance(v, float)))
