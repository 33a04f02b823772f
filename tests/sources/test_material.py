"""A pair of banks for the raster path: the same keys and pixels whether they come from files or from floats."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from terse.compositing.raster import Sprite
from terse.errors import DataError
from terse.recipe import load_recipe
from terse.sources.banks import PhotoBackgrounds
from terse.sources.cache import Cache
from terse.sources.coco import read_coco
from terse.sources.material import Material
from terse.sources.photo_foregrounds import PhotoForegrounds
from terse.sources.run_data import run_data


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
