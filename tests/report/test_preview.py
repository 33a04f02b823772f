"""The sheet of `terse preview`: annotated composites, some of them plain, some with artefact patches."""

import numpy as np
import torch
from PIL import Image

import terse.report.preview
from drawn_sets import draw_world, labelled_backgrounds
from terse.pictures.sheets import GUTTER_PX, contact_sheet
from terse.recipe import load_recipe
from terse.report.preview import preview, preview_sheets
from terse.run import build_players


def drawn(recipe, count):
    with torch.no_grad():
        return preview_sheets(recipe, build_players(recipe).materials, count)


def test_a_preview_shows_composites_plain_and_with_patches(tmp_path):
    recipe = load_recipe("shapes", ["artefacts.count=1", "artefacts.probability=0.1"])
    annotated, plain, patched = drawn(recipe, 10)
    assert annotated.shape[1] == plain.shape[1] == patched.shape[1]
    assert plain.shape == patched.shape
    assert (plain != patched).any()
    side, count = recipe.canvas_px, 8
    # One row of the same composites: without boxes and masks, but for those the cells are equal.
    cell = slice(GUTTER_PX, GUTTER_PX + side)
    rows = [
        sheet[cell, GUTTER_PX:][:, k * (side + GUTTER_PX) :][:, :side]
        for sheet in (annotated, plain)
        for k in range(count)
    ]
    for marked, bare in zip(rows[:count], rows[count:], strict=True):
        assert (marked != bare).any()
        assert (marked == bare).all(axis=2).mean() > 0.05
    path = preview(recipe, tmp_path / "sheet.png", 10)
    whole = np.asarray(Image.open(path))
    assert whole.shape[0] == sum(sheet.shape[0] for sheet in (annotated, plain, patched))


def test_no_patch_of_a_preview_comes_from_its_own_image(monkeypatch):
    recipe = load_recipe("shapes", ["synthesis.kind=random", "data={kind: shapes, backgrounds: 2}"])
    kept, paste, propose = [], terse.report.preview.paste_patches, terse.report.preview.propose
    monkeypatch.setattr(terse.report.preview, "propose", lambda *given: kept.append(propose(*given)) or kept[-1])
    monkeypatch.setattr(terse.report.preview, "paste_patches", lambda *given: kept.append(given[1]) or paste(*given))
    drawn(recipe, 8)
    composites, patches = kept
    assert len(patches.texture) > 2
    assert (patches.texture != composites.background[patches.image_index]).all()


def test_a_recipe_without_patches_shows_none():
    recipe = load_recipe("shapes", ["artefacts.count=0"])
    assert len(drawn(recipe, 3)) == 2
    assert contact_sheet(np.zeros((3, 96, 96, 3), np.uint8), 8).shape[1] == drawn(recipe, 3)[1].shape[1]


def test_a_recipe_that_names_nothing_to_train_on_is_shown(tmp_path):
    recipe = labelled_backgrounds(draw_world(tmp_path))
    sheet = np.asarray(Image.open(preview(recipe, tmp_path / "sheet.png", 3)))
    assert sheet.shape[1] > 3 * recipe.canvas_px
    assert sheet[GUTTER_PX : GUTTER_PX + recipe.canvas_px].std() > 10
