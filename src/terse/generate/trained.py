"""What a set is made from: a recipe's arm, or the arm and the target of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from terse.errors import RecipeError, RunError
from terse.placements import Placements
from terse.process import torch_defaults
from terse.progress import Observer
from terse.protocols import Proposer
from terse.recipe import Recipe
from terse.requests import Limits
from terse.sources.material import Material
from terse.sources.run_data import PasteData, RunData, paste_data
from terse.storage import local_copy
from terse.synthesis.blind import base_of
from terse.synthesis.materials import materials_of
from terse.trust import trusted, trusting
from terse.urls import local_path, url_of

if TYPE_CHECKING:
    from terse.evaluation.hardness import Verdict
    from terse.training.session import Players

__all__ = ["Judge", "LoadPlayers", "Origin", "SetPlayers", "of_recipe", "of_run"]

Judge = Callable[[Placements], "Verdict"]
"""What the target says of composites; called with at most 64 of them."""


@dataclass(frozen=True, slots=True)
class SetPlayers:
    """Who proposes the set's placements, and who judges them.

    Attributes:
        proposer: the arm.
        judge: the target with the run's rule; None where nothing is trained.
        keeps_hard: whether only hard composites are kept where no window of hardness is asked for.
    """

    proposer: Proposer
    judge: Judge | None = None
    keeps_hard: bool = False


LoadPlayers = Callable[[], SetPlayers]
"""Can be pickled, and is called once in every worker: `functools.partial(function, folder)` will do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What a set is made from.

    Attributes:
        recipe: poses, edges and, for the manifest, everything else.
        material: foregrounds and backgrounds, under the numbers that the proposer knows.
        limits: the arm's, the defaults of the set's settings.
        load: makes the players.
        trained: whether they come from a finished run.
        message: what a user should know; empty where there is nothing.
    """

    recipe: Recipe
    material: Material
    limits: Limits
    load: LoadPlayers
    trained: bool = False
    message: str = ""


@torch_defaults()
def of_recipe(
    recipe: Recipe, data: PasteData | None = None, *, square: bool = False, observer: Observer | None = None
) -> Origin:
    """The recipe's arm over its sources; an arm that must learn first proposes uniform poses.

    Args:
        recipe: says what is pasted how.
        data: your own foregrounds and backgrounds, whose classes the set has; None takes the recipe's.
        square: poses are meant for a square canvas, to which photographs are squashed.
        observer: hears how far cleanup is.

    Raises:
        RecipeError: the recipe names no source, or the arm `none`.
        DataError: a source cannot be read.
    """
    if data is None:
        data = paste_data(recipe, observer=observer)
    else:
        recipe = recipe.model_copy(update={"classes": tuple(data.classes)})
    material = Material(data.foregrounds, data.backgrounds, tuple(recipe.classes or data.classes), square=square)
    load = partial(_players_of_recipe, recipe, data)
    message = ""
    if _learns(recipe):
        message = f"synthesis: the {recipe.synthesis.kind} arm learns in a run; poses are uniform without one"
    return Origin(recipe, material, load().proposer.limits, load, message=message)


@torch_defaults()
def of_run(
    folder: Path | str, observer: Observer | None = None, *, target: str | None = None, trust: bool = False
) -> Origin:
    """A finished run's recipe with its classes, its material under the run's own numbers, and its players.

    The folder may be a URL, of which a copy is made: machines that share no folder then make their own. The observer hears
    how far copies and cleanup are. `target` is another model to say what is hard, as `black_box.go_on` takes it. With
    `trust`, code that the recipe names is imported, here and in workers.

    Raises:
        RunError: the folder holds no finished run.
        RecipeError: its arm is `none`.
    """
    from terse.run import open_run

    url = url_of(folder)
    folder = local_path(folder).absolute() if url is None else local_copy(url, observer)
    with trusting(trust):
        recipe, players, _ = open_run(folder, observer, target)
        load = partial(_players_of_run, folder, target, trusted())
    fore, back = players.materials.foregrounds, players.materials.backgrounds
    square = getattr(fore, "squash", False)  # photographs are squashed to the canvas, drawn scenes need not be
    classes = tuple(players.materials.classes)  # they need not be all that its backgrounds know
    recipe = recipe.model_copy(update={"classes": classes})
    limits = _proposer(players.proposer).limits
    return Origin(recipe, Material(fore, back, classes, square=square), limits, load, True)


def _players_of_recipe(recipe: Recipe, data: PasteData) -> SetPlayers:
    real = data.train if isinstance(data, RunData) else None
    materials = materials_of(recipe, data, real)
    if _learns(recipe):
        return SetPlayers(base_of(recipe, materials, 1))
    return SetPlayers(_proposer(recipe.synthesis.build(materials)))


def _players_of_run(folder: Path, target: str | None, trust: bool) -> SetPlayers:
    """The target that the run kept, and the synthesizer of the same cycle; of the last one where an older run kept none.

    Raises:
        RunError: a learned run without its state.
    """
    from terse.run import open_run
    from terse.synthesis.learned.proposer import LearnedProposer
    from terse.targets.weights import load_weights
    from terse.training.checkpoint import read_checkpoint

    with trusting(trust):
        _, players, _ = open_run(folder, target=target)
    proposer, state = _proposer(players.proposer), read_checkpoint(folder / "state")
    if state is not None:
        players.rule.restore(state[1]["rule"])
    if isinstance(proposer, LearnedProposer):
        kept = folder / "state" / "synthesizer.pth"
        if kept.is_file():
            load_weights(proposer.module, kept)
        elif state is not None and "synthesizer" in state[0]:
            proposer.module.load_state_dict(state[0]["synthesizer"])
        else:
            raise RunError(f"{folder}: expected the state of a learned run, got none; its synthesizer is lost")
        proposer.keep_features()
    # What a network learnt is in its poses; an arm without one is no more than the choice of what is hard.
    return SetPlayers(proposer, partial(_judge, players), proposer.keeps_hard and proposer.module is None)


def _judge(players: Players, placements: Placements) -> Verdict:
    import torch

    with torch.no_grad():
        composites = players.materials.render(placements)
        return players.rule.judge(players.target, composites.images, composites.truth)


def _learns(recipe: Recipe) -> bool:
    return bool(getattr(recipe.synthesis, "learns", False))


def _proposer(proposer: Proposer | None) -> Proposer:
    if proposer is None:
        raise RecipeError("synthesis: expected an arm that proposes composites, got none; take another, such as random")
    return proposer
