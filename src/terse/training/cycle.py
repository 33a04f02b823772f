"""The lock-step run: synthesizer, harvest, target, again and again (paper 3.4, Fig. 2)."""

from functools import reduce
from typing import Any

import numpy as np

from terse.errors import RecipeError
from terse.evaluation.realism import background_auc
from terse.evaluation.reference import RuleOver
from terse.folders import write_atomically
from terse.protocols import is_trainable, network_of
from terse.results import FORMAT, Cycle, Ends, RunResult
from terse.synthesis.blind import base_of
from terse.synthesis.proposer import propose
from terse.tasks.task import Metric, task_of
from terse.training.alternate import alternating_phase
from terse.training.candidates import hidden
from terse.training.harvest import harvest_phase
from terse.training.phases import synthesizer_phase, target_phase
from terse.training.realism import warm_up_phase
from terse.training.references import compare_reference, reference_phase
from terse.training.seeding import reseed
from terse.training.session import Session
from terse.types import Costs

__all__ = ["judge_cycle", "run_cycles", "train_start"]

_SAMPLE, _CHUNK = 256, 32
_TOO_HARD, _TOO_EASY = 0.9, 0.01
_NEVER = 0.01


def run_cycles(session: Session) -> RunResult:
    """Train the start, then cycle; keep the target of the best validation cycle, the start included, or the last's.

    Returns:
        The metrics of the start and of the kept target, one row a cycle, the alarms.

    Source: paper 3.4, A.1, A.2; choosing by validation is ours.
    """
    recipe = session.recipe
    train_start(session)
    if recipe.cycles:
        warm_up_phase(session, 1)
    for cycle in range(1, recipe.cycles + 1):
        if recipe.alternation == "batch":
            alternating_phase(session, cycle)
        else:
            synthesizer_phase(session, cycle)
            harvest_phase(session, cycle)
            target_phase(session, cycle, recipe.fine_tune)
        _evaluate(session, cycle)
    return _result(session)


def judge_cycle(session: Session, cycle: int) -> RunResult:
    """A cycle of a target that only judges: measure what was trained elsewhere since the last one, then harvest.

    The start is measured before cycle 1. Elsewhere the target learns from the pool; the next cycle measures it, as
    `run_cycles` does where it trains the target itself.

    Source: ours.
    """
    if cycle == 1:
        reference_phase(session)
    _evaluate(session, cycle - 1)
    harvest_phase(session, cycle)
    return _result(session)


def _result(session: Session) -> RunResult:
    rows = session.facts["rows"]
    primary = task_of(session.recipe).primary
    best = len(rows) - 1
    if session.recipe.keep == "best":
        best = reduce(lambda i, k: k if primary.better(rows[i]["val"], rows[k]["val"]) else i, range(len(rows)))
    result = RunResult(
        format=FORMAT,
        out=str(session.folder) if session.folder else None,
        primary=primary.name,
        metrics=Ends(start=rows[0]["metrics"], end=rows[best]["metrics"]),
        best_cycle=best,
        cycles=[Cycle.model_validate(_row(primary, row)) for row in rows[1:]],
        alarms=session.facts["alarms"],
        alarm_cycles=session.facts["alarm_cycles"],
        seconds=round(sum(row["seconds"] for row in rows), 3),
    )
    return result if is_trainable(session.players.target) else result.model_copy(update={"trained_elsewhere": True})


def train_start(session: Session) -> None:
    """Train and measure what every cycle is compared with; nothing where the session is past it.

    Source: ours.
    """
    if session.recipe.pretrain is not None:
        target_phase(session, 0, session.recipe.pretrain, "pretrain")
    reference_phase(session)
    _evaluate(session, 0)


def _evaluate(session: Session, cycle: int) -> None:
    """Measure on validation and test, keep the target if validation says it is the best so far."""
    first = session.enter(cycle, "evaluate", 0)
    if first is None:
        return
    players, recipe = session.players, session.recipe
    judge = task_of(recipe)
    session.engine.use_threads(1 << 20)
    reseed(recipe.seed, cycle, "evaluate", 0)
    if cycle == 0:
        players.rule.calibrate(players.target, players.val, session.engine.device)
        _judge_threshold(session)
    with session.engine.autocast():
        val = judge.measure(players.target, players.val, session.engine.device)
        same = players.test is players.val
        test = val if same else judge.measure(players.target, players.test, session.engine.device)
        realism = _realism(session) if cycle else {}
    compare_reference(session, cycle)
    primary = judge.primary
    _check_measured(val, primary.name, "val")
    _check_measured(test, primary.name, "test")
    rows = session.facts["rows"]
    if recipe.keep == "last" or all(primary.better(row["val"], val[primary.name]) for row in rows):
        session.keep_target()
    if cycle:
        session.keep_cycle(cycle)
    else:
        _keep_start(session)
    harvest = {**session.facts.pop("synthesizer", {}), **session.facts.pop("harvest", {})}
    session.facts.pop("redraws", None)
    session.spending.charge("evaluate")
    costs = session.costs
    row = {
        "cycle": cycle,
        "samples": len(session.pool),
        "val": val[primary.name],
        "metrics": test,
        **{f"val_{name}": val[name] for name in judge.progress if name in val},
        **harvest,
        **realism,
        **session.facts.get("reference", {}),
        "target_forwards": costs.target_forwards,
        "target_backwards": costs.target_backwards,
        "judging_passes": costs.judging_passes,
        "synthesizer_forwards": costs.synthesizer_forwards,
        "seconds": sum(costs.seconds.values()),
        "phase_seconds": dict(costs.seconds),
    }
    rows.append(row)
    session.log.add(cycle, "evaluate", 0, _numbers(_row(primary, row)))
    session.spending.costs = Costs()
    session.leave()
    session.observer.cycle(_row(primary, row) if cycle else {"cycle": 0, **test})


def _keep_start(session: Session) -> None:
    """`start.pth`: the weights that every cycle is compared with, pretrained or as they came."""
    if session.folder is not None and not session.engine.rank and network_of(session.players.target) is not None:
        # The start is the best so far: `keep_target` has just written it.
        write_atomically(session.folder / "start.pth", (session.folder / "target.pth").read_bytes())


def _realism(session: Session) -> dict[str, float]:
    """Whether the discriminator knows the data set instead of the paste; nothing without one."""
    players = session.players
    if players.discriminator is None:
        return {}
    auc = background_auc(players.discriminator, players.train, players.materials.backgrounds, session.engine.device)
    return {"discriminator_auc": auc}


def _check_measured(found: dict[str, Any], primary: str, part: str) -> None:
    """A choice by validation needs a figure, and so does what is said of a run."""
    if found[primary] is None:
        raise RecipeError(
            f"{part}: expected images with objects to find, got none, so that {primary} has no value; "
            f"give the recipe other {'validation' if part == 'val' else part} images"
        )


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    """What of a row is a number and the same whenever it is run again."""
    kept = ("cycle", "seconds")
    return {key: value for key, value in row.items() if isinstance(value, int | float) and key not in kept}


def _judge_threshold(session: Session) -> None:
    """Is the threshold of hardness one that random composites can tell apart?"""
    players, recipe = session.players, session.recipe
    if players.rule.of_probabilities and not getattr(players.target, "calibrated", True):
        setting = "hardness.of" if isinstance(recipe.hardness, RuleOver) else "hardness"
        session.alarm(
            0,
            "the target's scores are sigmoids, to which a probability of 0.5 means little; "
            f"{setting}={{kind: quantile}} takes the threshold from its scores on real objects",
        )
    blind = base_of(recipe, players.materials, _SAMPLE)
    placements = propose(blind, _SAMPLE, recipe.seed, 0, "threshold")
    hard, worth, surest = 0, 0, 0.0
    for rows in np.array_split(np.arange(_SAMPLE), _SAMPLE // _CHUNK):
        composites = players.materials.render(placements.take(rows))
        with session.engine.autocast():
            verdict = players.rule.judge(players.target, composites.images, composites.truth)
        seen = ~hidden(composites)  # of the others nothing is asked, and no rule calls them hard
        hard += int(verdict.hard.cpu().numpy()[seen].sum())
        worth += int(seen.sum())
        surest = max(surest, 1 - float(verdict.hardness.float().cpu().numpy()[seen].min(initial=1.0)))
    rate = hard / max(1, worth)
    session.facts["random_hard_rate"] = rate
    if recipe.cycles and worth and surest < _NEVER:
        session.alarm(
            0,
            f"the target never fires: it gives none of {worth} pasted objects a probability above {_NEVER:g}; "
            "train it first (pretrain), or look at target.labels and at the images it takes",
        )
    elif recipe.cycles and (rate > _TOO_HARD or rate < _TOO_EASY):
        change = (
            "choose a stricter one, or train the start longer (pretrain)"
            if rate > _TOO_HARD
            else "choose a milder one, or widen poses"
        )
        session.alarm(
            0,
            f"{rate:.0%} of random composites are hard for the start: the threshold of `hardness` tells little; {change}",
        )


def _row(primary: Metric, row: dict[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in row.items() if key not in ("metrics", "val", "found", "candidates")}
    return {
        **flat,
        **row["metrics"],
        "hard_rate": row.get("hard_rate", 0.0),
        "candidates": row.get("candidates", 0),
        f"val_{primary.name}": row["val"],
    }
