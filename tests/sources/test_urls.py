"""Sources at URLs: what the files here would give, asked for where the user typed or trusts the URL alone."""

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from at_urls import put_at
from drawn_sets import draw_world
from terse.errors import DataError, RecipeError
from terse.recipe import dump_recipe, load_recipe
from terse.sources.folder import ImagesConfig
from terse.sources.run_data import paste_data
from terse.trust import trusting

ROOT = "memory://bucket/world"
TYPED = (
    f"foregrounds.coco={ROOT}/fore/set.json",
    f"foregrounds.images={ROOT}/fore/images",
    f"backgrounds.images={ROOT}/back/images",
)


pytestmark = pytest.mark.usefixtures("own_storage")


@pytest.fixture
def world(tmp_path):
    """The same files here and there."""
    drawn = draw_world(tmp_path / "world")
    put_at(ROOT, drawn)
    return drawn


def test_sources_at_urls_are_those_here(world):
    here = paste_data(load_recipe("paste", [word.replace(ROOT, str(world)) for word in TYPED]))
    there = paste_data(load_recipe("paste", TYPED))
    for bank in ("foregrounds", "backgrounds"):
        one, other = getattr(here, bank), getattr(there, bank)
        assert list(one.keys) == list(other.keys)
        rows = np.arange(len(one.keys))
        assert (one.fetch(rows).images == other.fetch(rows).images).all()


def test_a_resolved_recipe_names_the_urls(world, tmp_path):
    recipe = load_recipe("paste", TYPED)
    assert f"coco: {ROOT}/fore/set.json" in dump_recipe(recipe)
    (tmp_path / "again.yaml").write_text(dump_recipe(recipe), "utf-8")
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_a_strangers_recipe_asks_for_nothing_until_it_is_trusted(world, tmp_path, monkeypatch):
    text = f"base: paste\nforegrounds: {{coco: {world}/fore/set.json}}\nbackgrounds: {{images: {ROOT}/back/images}}\n"
    (tmp_path / "recipe.yaml").write_text(text, "utf-8")
    recipe = load_recipe(tmp_path / "recipe.yaml")
    asked = []
    find = MemoryFileSystem.find
    monkeypatch.setattr(MemoryFileSystem, "find", lambda *what, **how: asked.append(what) or find(*what, **how))
    with pytest.raises(RecipeError) as raised:
        paste_data(recipe)
    assert str(raised.value) == (
        "images: expected --trust (Python: trust=True) before a URL that a recipe names is asked for, got none for "
        f"{ROOT}/back/images; it would be made with your credentials: trust the recipe, or type the setting yourself, as "
        "key=value"
    )
    assert asked == []
    with trusting():
        assert len(paste_data(recipe).backgrounds) == 5


def test_the_environment_does_not_leave_in_a_url(monkeypatch):
    monkeypatch.setenv("SECRET", "1234")
    config = ImagesConfig.model_validate({"images": "https://stranger.example/$SECRET"})
    assert config.model_dump(mode="json")["images"] == "https://stranger.example/$SECRET"


def test_what_lies_beside_a_url_is_not_searched(world):
    recipe = load_recipe("paste", [TYPED[0], TYPED[2]])
    with pytest.raises(DataError) as raised:
        paste_data(recipe)
    assert str(raised.value) == (
        f"images: expected it beside {ROOT}/fore/set.json, got none; what lies beside a URL is not searched"
    )


def test_paths_that_must_be_here_say_so():
    with pytest.raises(RecipeError) as raised:
        load_recipe("paste", [*TYPED, "backgrounds.leave_out=s3://bucket/list.txt"])
    assert str(raised.value) == (
        "backgrounds.leave_out: expected a path on this machine, got s3://bucket/list.txt; copy it here first"
    )


def test_cutouts_and_yolo_folders_are_copied_whole(tmp_path):
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/set/data.yaml", b"train: images\nnames: {0: cup}\n")
    files.pipe_file("/bucket/set/labels/a.txt", b"0 0.5 0.5 0.5 0.5\n")
    files.pipe_file("/bucket/set/images/a.png", _png(tmp_path))
    from terse.registry import lookup

    config = lookup("source", "yolo").model_validate({"yolo": "memory://bucket/set"})
    with trusting():
        assert config.build().classes == ("cup",)
    alone = lookup("source", "yolo").model_validate({"yolo": "memory://bucket/set/data.yaml"})
    with (
        trusting(),
        pytest.raises(DataError, match=r"^root: expected it beside memory://bucket/set/data.yaml, got none"),
    ):
        alone.build()


def _png(folder):
    import cv2

    cv2.imwrite(str(folder / "a.png"), np.full((40, 40, 3), 90, np.uint8))
    return (folder / "a.png").read_bytes()
