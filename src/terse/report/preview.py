"""The contact sheet of `terse preview`: composites with boxes and masks, before any training."""

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from terse.errors import RecipeError
from terse.folders import write_atomically
from terse.pictures.sheets import contact_sheet
from terse.recipe import Recipe
from terse.run import build_players
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.proposer import propose
from terse.types import Composites

__all__ = ["composites_sheet", "png", "preview"]

_COLUMNS = 8


def preview(recipe: Recipe, out: Path, count: int) -> Path:
    """Draw composites as the recipe's arm proposes them; a learned arm, untrained, proposes random poses.

    Raises:
        RecipeError: a count below 1.
        RunError: the picture cannot be written.
    """
    if count < 1:
        raise RecipeError(f"--count: expected an integer >= 1, got {count}")
    players = build_players(recipe)
    proposer = players.proposer
    if proposer is None or isinstance(proposer, LearnedProposer):
        proposer = BlindProposer(players.context, count)
    placements = propose(proposer, count, recipe.seed, 0, "preview")
    with torch.no_grad():
        drawn = players.context.render(placements, masks=True)
    write_atomically(out, png(composites_sheet(drawn, players.context.classes)))
    return out


def composites_sheet(drawn: Composites, classes: tuple[str, ...]) -> np.ndarray:
    """A sheet of composites with the boxes and masks of all their objects."""
    truth = drawn.truth
    images = drawn.images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()
    index = truth.image_index.numpy()
    rows = [np.flatnonzero(index == i) for i in range(truth.batch_size)]
    boxes = [truth.boxes_px.numpy()[r] for r in rows]
    labels = [[classes[int(k)] for k in truth.labels.numpy()[r]] for r in rows]
    masks = None if drawn.modal is None else [drawn.modal.numpy()[r] for r in rows]
    return contact_sheet(images, _COLUMNS, boxes, labels, masks)


def png(sheet: np.ndarray) -> bytes:
    """The picture's PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    return stream.getvalue()
