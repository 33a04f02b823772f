"""The cycles of a run whose target only judges: its own trainer made a new model, and the run goes on with that."""

import shlex
from pathlib import Path

from terse.errors import RecipeError, TerseError
from terse.folders import locked
from terse.pictures.page_folder import write_page
from terse.pictures.run_pictures import run_pictures
from terse.progress import Observer, heard_by
from terse.protocols import Judges, is_trainable
from terse.recipe import Recipe, load_recipe
from terse.results import RunResult
from terse.run import build_players, check_target, join_session, with_target, written
from terse.run_folder import finished_folder
from terse.sources.run_data import run_data
from terse.training.cycle import judge_cycle
from terse.training.engine import Engine, process_kept
from terse.training.probe import check_answers
from terse.training.session import Players, Session
from terse.training.state import PHASES
from terse.trust import trusting

__all__ = ["go_on"]


@process_kept()
def go_on(
    folder: str | Path,
    cycle: int,
    target: str,
    *,
    per_cycle: int | None = None,
    observer: Observer | None = None,
    trust: bool = False,
) -> RunResult:
    """The next cycle of a run whose target only judges: the retrained model is measured, then harvested against.

    Called again with the same model, it goes on with a harvest that was cut short, or changes nothing.

    Args:
        folder: of the run.
        cycle: its number; cycle 1 was the run's own.
        target: the retrained model: what stands in `target.weights`, or `KEY=VALUE` for another of the target's settings.
        per_cycle: how many composites to find; None is the recipe's.
        observer: is told of phases and steps.
        trust: import the code that the recipe names.

    Raises:
        TerseError: another cycle's turn, a run that trains its target itself, or a model that cannot be used.
    """
    folder, observer = Path(folder), heard_by(observer)
    first = load_recipe(finished_folder(folder) / "recipe.yaml")
    recipe = with_target(first, target)
    if per_cycle is not None:
        recipe = recipe.model_copy(
            update={"pool": recipe.pool.model_copy(update={"per_cycle": per_cycle, "per_class": None})}
        )
    with trusting(trust), locked(folder):
        engine = Engine(recipe.runtime)
        players = build_players(recipe, engine, data=run_data(recipe, observer))
        session = join_session(recipe, folder, players, engine, observer)
        if is_trainable(session.players.target):
            raise RecipeError(
                f"cycle: expected a run whose target only judges, got {folder}, which trains its own; "
                "`terse train` with more cycles goes on"
            )
        session.restore()
        _its_turn(session, cycle, target)
        check_target(session.players, recipe)
        check_answers(session)
        result = written(session, judge_cycle(session, cycle))
        before = _target_of(first, session.players)
        write_page(folder, run_pictures(recipe, session.players, session.pool, folder, before))
    return result


def _its_turn(session: Session, cycle: int, target: str) -> None:
    """See that the run has come to this cycle, and note the model that it is judged by."""
    at, judged_by = session.position, session.facts.setdefault("judged_by", {})
    following = at.cycle + (at.number > PHASES.index("harvest"))
    known = judged_by.get(str(cycle))
    if known == target and cycle in (at.cycle, following):
        if cycle < following:  # the file may be a newer one of the same name
            session.observer.say(
                f"cycle {cycle} was judged by {target} before: nothing is measured again; a new model is judged in cycle {following}"
            )
        return
    if known is not None or cycle != following:
        pool = shlex.quote(f"{session.folder}/pool")
        judged = f", which was judged by {known}; `terse render {pool}` draws its set again" if known else ""
        raise RecipeError(f"cycle: expected {following}, the run's next cycle, got {cycle}{judged}")
    judged_by[str(cycle)] = target


def _target_of(recipe: Recipe, players: Players) -> Judges | None:
    """The target that a run began with; None where its file is gone."""
    try:
        return recipe.target.build(classes=players.materials.classes, canvas_px=recipe.canvas_px)
    except TerseError:
        return None
