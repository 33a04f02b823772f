"""Composites as annotated images: other cut-outs and backgrounds judge than those that are trained on."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from terse.errors import DataError, RecipeError
from terse.recipe import load_recipe
from terse.run import train
from terse.sources.run_data import run_data

OVERRIDES = (
    "canvas_px=64", "data.canvas_px=64", "data.train=12", "data.val=6", "data.test=6", "target.image_size_px=64",
    "pretrain.epochs=1", "pretrain.batch_size=4", "synthesis={kind: random}", "cycles=1", "pool.per_cycle=4",
    "pool.candidates=16", "fine_tune.epochs=1", "fine_tune.batch_size=4", "runtime.workers=0",
)  # fmt: skip


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """The demonstration's recipe on drawn objects: in view 1 the cup is red and the tin green, in view 2 both are blue."""
    monkeypatch.setenv("TERSE_DATA", str(tmp_path))
    for name, colour in (("cup", (230, 20, 20)), ("tin", (20, 230, 20))):
        (tmp_path / "bigbird" / name).mkdir(parents=True)
        for view, own in (("NP1_0", colour), ("NP2_0", (20, 20, 230))):
            pixels = np.full((30, 40, 3), own, dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "bigbird" / name / f"{view}.jpg", quality=98)
            mask = np.ones((30, 40), dtype=bool)
            mask[5:25, 8:30] = False
            Image.fromarray(mask).save(tmp_path / "bigbird" / name / f"{view}.pbm")
    rooms = tmp_path / "coco80" / "images"
    rooms.mkdir(parents=True)
    for i in range(10):
        Image.fromarray(np.full((48, 64, 3), 100 + 5 * i, dtype=np.uint8)).save(rooms / f"{i}.png")
    listed = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(10)]
    index = {"images": listed, "annotations": [], "categories": [{"id": 1, "name": "chair"}]}
    (tmp_path / "coco80" / "instances.json").write_text(json.dumps(index))
    return load_recipe("gmu-demo", OVERRIDES)


def blue(images):
    """Whether an image holds a blue object."""
    return ((images[:, 2] > 0.7) & (images[:, 0] < 0.3)).flatten(1).any(1)


def test_the_test_shows_other_views_on_other_backgrounds(recipe):
    data = run_data(recipe)
    assert data.classes == ("cup", "tin")
    assert data.messages == (recipe.data.note,)
    train_images, truth = data.train.fetch(np.arange(12))
    test_images, _ = data.test.fetch(np.arange(6))
    assert not blue(train_images).any()
    assert not blue(data.val.fetch(np.arange(6))[0]).any()
    assert blue(test_images).sum() >= 5  # now and then an object is all but hidden
    assert not truth.pasted.any()
    assert 12 <= len(truth.labels) <= 36
    keys = [{*images._materials.backgrounds.keys} for images in (data.train, data.val, data.test)]
    assert [len(some) for some in keys] == [6, 2, 2]
    assert len(set.union(*keys)) == 10


def test_an_image_is_a_function_of_its_number(recipe):
    first, again = run_data(recipe).test, run_data(recipe).test
    whole, truth = first.fetch(np.arange(6))
    one, own = again.fetch(np.array([4]))
    assert torch.equal(one[0], whole[4])
    assert torch.equal(own.boxes_px, truth.boxes_px[truth.image_index == 4])


def test_boxes_hold_the_objects(recipe):
    images, truth = run_data(recipe).train.fetch(np.arange(12))
    colours = [(0, 1), (1, 0)]  # of the cup, of the tin: high, low channel
    for label, box, number, ignored in zip(truth.labels, truth.boxes_px, truth.image_index, truth.ignore, strict=True):
        if not ignored:
            high, low = colours[int(label)]
            x0, y0, x1, y1 = box.int().tolist()
            inside = images[number, :, y0:y1, x0:x1]
            assert ((inside[high] > 0.6) & (inside[low] < 0.4)).any()


@pytest.mark.slow
def test_a_faster_rcnn_trains_on_it_and_the_page_says_what_it_is(recipe, tmp_path):
    result = train(recipe, out=tmp_path / "run")
    assert result["cycles"][0]["samples"] == 4
    from terse.report.run_page import run_page

    assert recipe.data.note in run_page(tmp_path / "run").summary


def test_a_test_of_other_classes_is_refused(recipe, tmp_path):
    (tmp_path / "bigbird" / "tin" / "NP2_0.jpg").unlink()
    with pytest.raises(DataError) as error:
        run_data(recipe)
    assert str(error.value) == ("data.test_foregrounds: expected the classes of data.foregrounds, cup, tin, got cup")
    with pytest.raises(RecipeError) as refused:
        load_recipe("shapes", ["data={kind: pasted}"])
    assert "data.foregrounds: expected a value, got nothing" in str(refused.value)
