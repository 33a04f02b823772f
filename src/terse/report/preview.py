"""The contact sheet of `terse preview`: composites with boxes and masks, before any training."""

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from PIL import Image
from torch import Tensor

from terse.compositing.artefacts import draw_patches, paste_patches
from terse.errors import RecipeError
from terse.folders import write_atomically
from terse.pictures.sheets import contact_sheet
from terse.process import torch_defaults
from terse.progress import Observer, heard_by
from terse.recipe import Recipe
from terse.sources.run_data import paste_data, run_data
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.proposer import LearnedProposer
from terse.synthesis.materials import Materials, materials_of
from terse.synthesis.proposer import propose
from terse.types import Composites, Truth

__all__ = ["composites_sheet", "png", "preview", "preview_sheets"]

_COLUMNS = 8


@torch_defaults()
def preview(recipe: Recipe, out: Path, count: int, observer: Observer | None = None) -> Path:
    """Draw composites as the recipe's arm proposes them; a learned arm, untrained, proposes random poses.

    A recipe for sets alone, which names nothing to train on, has its composites as well. The observer hears how far cleanup is.

    Raises:
        RecipeError: a count below 1.
        RunError: the picture cannot be written.
    """
    observer = heard_by(observer)
    if count < 1:
        raise RecipeError(f"count: expected an integer >= 1, got {count}")
    trains = recipe.data is not None or recipe.train is not None
    data = (run_data if trains else paste_data)(recipe, observer=observer)
    materials = materials_of(recipe, data, getattr(data, "train", None), torch.device("cpu"))
    write_atomically(out, png(np.concatenate(preview_sheets(recipe, materials, count))))
    return out


@torch.no_grad()
def preview_sheets(recipe: Recipe, materials: Materials, count: int) -> list[np.ndarray]:
    """Sheets of one width: composites with boxes and masks, the first ones plain, and these with artefact patches.

    Plain, so that rims can be judged; with patches where the recipe trains with them, one in every image (Fig. 5).
    """
    proposer = recipe.synthesis.build(materials)
    if proposer is None or isinstance(proposer, LearnedProposer):
        proposer = BlindProposer(materials, count, proposer.limits if proposer else None)
    placements = propose(proposer, count, recipe.seed, 0, "preview")
    drawn = materials.render(placements, masks=True)
    sheets = [composites_sheet(drawn, materials.classes)]
    few = min(count, _COLUMNS)
    images, truth = drawn.images[:few], drawn.truth.take(range(few))
    sheets.append(_captioned(images, "plain"))
    if recipe.artefacts.count:
        patched = _with_patches(recipe, materials, images, truth, placements.background[:few])
        sheets.append(_captioned(patched, "with patches"))
    return sheets


def _with_patches(
    recipe: Recipe, materials: Materials, images: Tensor, truth: Truth, below: Int64[np.ndarray, " b"]
) -> Tensor:
    """As in training, but in every image: a sheet is too short to show the recipe's share."""
    settings = recipe.artefacts.model_copy(update={"probability": 1.0})
    generator = torch.Generator().manual_seed(recipe.seed)
    size_px = images.shape[-2], images.shape[-1]
    banks = materials.foregrounds, materials.backgrounds
    patches = draw_patches(
        truth, size_px, *banks, materials.poses, settings, generator, edges=materials.edges, own=below
    )
    return paste_patches(images, patches, materials.render)


def _captioned(images: Tensor, caption: str) -> np.ndarray:
    return contact_sheet(_bytes(images), _COLUMNS, captions=[caption, *[""] * (len(images) - 1)])


def _bytes(images: Tensor) -> np.ndarray:
    return images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()


def composites_sheet(drawn: Composites, classes: tuple[str, ...]) -> np.ndarray:
    """A sheet of composites with the boxes and masks of all their objects."""
    truth = drawn.truth
    images = _bytes(drawn.images)
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
