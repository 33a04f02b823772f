"""A finished run's folder as the generator's source of poses and of hardness."""

from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from terse.errors import RunError
from terse.generate.trained import LoadTrained, Trained
from terse.placements import Placements
from terse.recipe import Recipe
from terse.run import open_run
from terse.sources.material import Material
from terse.synthesis.learned.proposer import LearnedProposer
from terse.training.checkpoint import read_checkpoint
from terse.training.session import Players

__all__ = ["load_trained", "open_trained"]


def open_trained(folder: Path) -> tuple[Recipe, Material, LoadTrained]:
    """The run's recipe, its material under the run's own numbers, and what workers call to get its networks.

    Raises:
        RunError: the folder holds no finished run.
    """
    recipe, players, _ = open_run(folder)
    fore, back = players.context.foregrounds, players.context.backgrounds
    square = getattr(fore, "squash", False)  # photographs are squashed to the canvas, drawn scenes need not be
    material = Material(fore, back, tuple(players.context.classes), square=square)
    return recipe, material, partial(load_trained, folder)


def load_trained(folder: Path) -> Trained:
    """The networks: the last synthesizer, and the target that the run kept.

    Raises:
        RunError: a learned run without its state.
    """
    _, players, _ = open_run(folder)
    proposer = players.proposer
    poses_for = None
    state = read_checkpoint(folder / "state")
    if state is not None:
        players.rule.restore(state[1]["rule"])
    if isinstance(proposer, LearnedProposer):
        if state is None or "synthesizer" not in state[0]:
            raise RunError(f"{folder}: expected the state of a learned run, got none; its synthesizer is lost")
        proposer.module.load_state_dict(state[0]["synthesizer"])
        proposer.keep_features()
        poses_for = proposer.of_pairs
    return Trained(poses_for, partial(_hardness_of, players))


def _hardness_of(players: Players, placements: Placements) -> Float64[np.ndarray, " b"]:
    with torch.no_grad():
        composites = players.context.render(placements)
        verdict = players.rule.judge(players.target, composites.images, composites.truth)
    return np.asarray(verdict.hardness.double().cpu().numpy())
