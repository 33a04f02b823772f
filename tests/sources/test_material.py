"""A pair of banks for the raster path: the same keys and pixels whether they come from files or from floats."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from terse.compositing.raster import Sprite
from terse.errors import DataError
from terse.recipe import load_recipe
from terse.sources.banks import PhotoBackgrounds
from terse.sources.byte_views import bytes_of_backgrounds
from terse.sources.cache import Cache
from terse.sources.coco import read_coco
from terse.sources.material import Material
from terse.sources.photo_foregrounds import PhotoForegrounds
from terse.sources.run_data import run_data
from terse.types import Truth


@pytest.fixture
def photographs(coco) -> Material:
    annotations = read_coco(*coco())
    return Material(
        PhotoForegrounds(annotations, ["person"], patch_px=30),
        PhotoBackgrounds(annotations, ["person"], canvas_px=30),
        ("person",),
    )


@pytest.fixture
def drawn() -> Material:
    data = run_data(load_recipe("shapes", ["data.train=6", "data.backgrounds=4"]))
    return Material(data.foregrounds, data.backgrounds, data.classes)


@pytest.mark.parametrize("kind", ["photographs", "drawn"])
def test_every_key_finds_its_number_again(kind, request):
    material = request.getfixturevalue(kind)
    for keys, find, sha256 in (
        (material.foregrounds.keys, material.foregrounds.index, material.foregrounds.sha256),
        (material.backgrounds.keys, material.backgrounds.index, material.backgrounds.sha256),
    ):
        assert [find(key, sha256(i), "there") for i, key in enumerate(keys)] == list(range(len(keys)))


def test_a_key_that_is_gone_is_named_with_what_helps(photographs, drawn):
    for material, advice in (
        (photographs, "restore the file or drop these rows"),
        (drawn, "make it again with the same settings"),
    ):
        with pytest.raises(DataError) as error:
            material.backgrounds.index("x:1", "ab", "set.parquet")
        assert str(error.value) == (
            "set.parquet: expected the source x:1 (sha256 ab) as when the placements were made, got none of that name; "
            + advice
        )


def test_a_file_with_other_contents_is_refused(photographs):
    key, own = photographs.backgrounds.keys[0], photographs.backgrounds.sha256(0)
    with pytest.raises(DataError) as error:
        photographs.backgrounds.index(key, "ab", "set.parquet")
    assert str(error.value) == (
        f"set.parquet: expected the source {key} with sha256 ab as when the placements were made, got {own}; "
        "restore the file, or empty the column to draw it as it is now"
    )
    assert photographs.backgrounds.index(key, None, "set.parquet") == 0


@pytest.mark.parametrize("kind", ["photographs", "drawn"])
def test_a_copy_elsewhere_gives_the_same_pixels(kind, request, tmp_path: Path):
    material = request.getfixturevalue(kind)
    size_px = material.backgrounds.size_px(0)
    first = material.image(0, size_px)
    first[:] = 0  # the caller's own copy
    again = pickle.loads(pickle.dumps(material))
    assert material.image(0, size_px).any()
    assert np.array_equal(again.image(0, size_px), material.image(0, size_px))
    assert np.array_equal(again.sprite(0).levels[0], material.sprite(0).levels[0])
    assert np.array_equal(again.hull(0), material.hull(0))
    small = (size_px[0] // 2, size_px[1] // 2)
    assert again.image(0, small).shape == (small[1], small[0], 3)
    assert [item.box_px for item in again.objects(0, small)] == [item.box_px for item in material.objects(0, small)]


@pytest.mark.parametrize("size_px", [(10, 7), (4, 3), (1, 1), (3, 60), (80, 3)])
@pytest.mark.parametrize("kind", ["files", "floats"])
def test_no_object_of_a_background_vanishes_where_it_is_made_smaller(kind, size_px, coco, note, monkeypatch):
    tiny = {"bbox": [13, 9, 1, 1], "segmentation": [[13, 9, 14, 9, 14, 10, 13, 10]]}
    empty = {"bbox": [13, 9, 1, 1], "segmentation": {"size": [30, 40], "counts": [1200]}}
    annotations = read_coco(*coco(annotations=[note(**tiny), note(id=2, **empty)]))
    if kind == "files":
        banks = PhotoBackgrounds(annotations, ["person"], canvas_px=30)
        width, height = 40, 30
    else:
        banks = run_data(load_recipe("shapes", ["data.train=6", "data.backgrounds=4"])).backgrounds
        width = height = banks.fetch(np.array([0])).images.shape[-1]
        masks = torch.zeros(2, height, width, dtype=torch.bool)
        masks[0, 9, 13] = True
        fetched = banks.fetch(np.array([0]))
        truth = Truth(
            labels=torch.zeros(2, dtype=torch.int64),
            boxes_px=torch.tensor([[13.0, 9, 14, 10]] * 2),
            image_index=torch.zeros(2, dtype=torch.int64),
            pasted=torch.zeros(2, dtype=torch.bool),
            ignore=torch.zeros(2, dtype=torch.bool),
            batch_size=1,
            masks=masks,
        )
        monkeypatch.setattr(banks, "fetch", lambda _: replace(fetched, truth=truth))
    found, *empties = bytes_of_backgrounds(banks).objects(0, size_px)
    x, y = 13.5 * size_px[0] / width, 9.5 * size_px[1] / height
    x0, y0, x1, y1 = found.box_px
    assert x0 <= x < x1
    assert y0 <= y < y1
    assert (found.region.mask == 255).any()
    assert found.masked
    if kind == "files":  # a mask without a pixel is none; a drawn scene's says that nothing is seen
        assert [item.masked for item in empties] == [False]
        assert (empties[0].region.mask == 255).all()
    else:
        assert not empties


def test_sprites_that_were_let_go_are_made_again_from_what_is_kept(drawn, monkeypatch):
    material = drawn
    patches = {number: material.foregrounds.patch(number) for number in (0, 1)}
    material.sprite(0)
    monkeypatch.setattr(material.foregrounds, "patch", patches.pop)  # each can be read once more
    again = Cache(material._cut_out, lambda _: 1, 1)
    for number in (0, 1, 0, 1):
        made, _ = again.get(number)
        assert made.levels[0].any()
    assert list(patches) == [0]  # it was known before


@pytest.mark.parametrize("kind", ["photographs", "drawn"])
def test_sprites_are_those_of_whole_patches(kind, request):
    material = request.getfixturevalue(kind)
    for number in range(len(material.foregrounds.keys)):
        made, whole = material.sprite(number), Sprite.of(material.foregrounds.patch(number))
        assert np.array_equal(made.levels[0], whole.levels[0])
        assert np.array_equal(made.outline, whole.outline)
