"""The index of a large source is kept: the same as what was read, and never taken where something has changed."""

import errno
import json
import os
import pickle
import shutil
import time
from dataclasses import fields

import numpy as np
import pytest

from strangers import SETS
from terse.errors import TerseError
from terse.sources import kept
from terse.sources.coco import CocoConfig
from terse.sources.columns import Column
from terse.sources.folder import ImagesConfig
from terse.sources.guess import read_data, source_settings
from terse.sources.masks import Polygons, draw_mask
from terse.sources.photo_foregrounds import PhotoForegrounds
from terse.sources.selection import SourceConfig


@pytest.fixture
def every(monkeypatch, tmp_path_factory):
    """Every source counts as large, and as written long ago; gives the folder of kept indexes."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(kept, "_FEWEST", 0)
    monkeypatch.setattr(kept, "_SETTLED_S", -1e9)
    return cache / "terse" / "indexes"


@pytest.fixture
def readings(monkeypatch):
    """How often a COCO file was read."""
    counted, read = [], CocoConfig._read
    monkeypatch.setattr(CocoConfig, "_read", lambda self: counted.append(self) or read(self))
    return counted


def plain(value):
    """Columns as tuples, arrays and masks as lists, so that `==` compares."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tolist()
    if isinstance(value, Polygons):
        return [part.tolist() for part in value.parts]
    if isinstance(value, Column | tuple):
        return [plain(item) for item in value]
    return value


def read_again(config):
    raise AssertionError(f"{config} was read again")


def facts(annotations):
    named = {item.name: plain(getattr(annotations, item.name)) for item in fields(annotations)}
    if not any(named["image_fields"]):
        named["image_fields"] = []
    views = (annotations.image_keys, annotations.object_keys, annotations.files, annotations.masked)
    return named, [plain(tuple(view) if isinstance(view, Column) else view) for view in views]


@pytest.mark.parametrize("name", sorted(SETS))
def test_a_kept_index_is_what_was_read(name, tmp_path, every, monkeypatch):
    (tmp_path / "set").mkdir()
    try:
        settings = source_settings(SETS[name](tmp_path / "set"))
        read_data(settings)
    except TerseError:
        pytest.skip("refused")
    shutil.rmtree(every)
    with monkeypatch.context() as once:
        once.setattr(kept, "_load", lambda *_, **__: None)
        read = read_data(settings)
    assert not isinstance(read.paths, Column)
    for config in SourceConfig.__subclasses__():
        monkeypatch.setattr(config, "_read", read_again)
    found = read_data(settings)
    assert isinstance(found.paths, Column)
    assert facts(found) == facts(read)
    assert facts(pickle.loads(pickle.dumps(found))) == facts(read)
    halves = [part.keep_images(np.arange(len(part)) % 2 == 0) for part in (found, read)]
    assert facts(halves[0]) == facts(halves[1])


def change_annotations(root):
    data = json.loads((root / "train.json").read_text())
    data["annotations"][0]["bbox"][0] += 1
    (root / "train.json").write_text(json.dumps(data))


def change_a_photograph(root):
    name = root / "train-images" / "train-01.png"
    name.write_bytes((root / "train-images" / "train-02.png").read_bytes())


def add_a_file(root):
    shutil.copy(root / "train-images" / "train-01.png", root / "train-images" / "more.png")


def remove_a_file(root):
    (root / "train-images" / "train-01.png").unlink()


def replace_by_one_as_old(root):
    """Name, size and time of change of the contents stay."""
    name = root / "train.json"
    text = name.read_text()
    other = root / "other.json"
    other.write_text(text.replace("ball", "bell"))
    shutil.copystat(name, other)
    other.replace(name)


@pytest.mark.parametrize(
    "change", [change_annotations, change_a_photograph, add_a_file, remove_a_file, replace_by_one_as_old]
)
def test_what_changed_is_read_again(change, drawn, every, readings):
    config = CocoConfig(coco=drawn.coco(), images=drawn.root / "train-images")
    for _ in range(3):
        config.build()
    assert len(readings) == 1
    change(drawn.root)
    found = config.build()
    assert len(readings) == 2
    assert facts(found) == facts(config._read())


def test_a_folder_of_photographs_that_comes_is_noticed(drawn, every, readings):
    """`images: null` looks beside the annotation file."""
    config = CocoConfig(coco=drawn.coco())
    assert config.build().root.name == "train-images"
    config.build()
    assert len(readings) == 1
    shutil.copytree(drawn.root / "train-images", drawn.root / "images")
    assert config.build().root.name == "images"


def test_what_other_code_read_is_read_again(drawn, every, readings, tmp_path, monkeypatch):
    """Between two commits the version stays."""
    monkeypatch.setattr(kept, "__file__", str(tmp_path / "code" / "kept.py"))
    (tmp_path / "code").mkdir()
    config = CocoConfig(coco=drawn.coco())
    for code in ("x = 1", "x = 1", "x = 2"):
        (tmp_path / "code" / "coco.py").write_text(code)
        config.build()
    assert len(readings) == 2


def test_other_settings_are_another_index(drawn, every, readings):
    file = drawn.coco(change=lambda data: [image.update(split=image["id"] % 2) for image in data["images"]])
    counts = [len(CocoConfig(coco=file, where=where).build()) for where in ({}, {"split": 0}, {}, {"split": 0})]
    assert (counts, len(readings)) == ([6, 3, 6, 3], 2)


def test_what_a_recipe_selects_is_selected_anew(drawn, every, readings):
    file = drawn.coco(category=[{"id": 1, "name": "ball"}, {"id": 2, "name": "bell"}])
    for classes in (None, ("ball",), ("bell", "ball")):
        assert CocoConfig(coco=file, classes=classes).build().classes == (classes or ("ball", "bell"))
    assert len(readings) == 1


def test_one_flipped_bit_is_not_believed(drawn, every, readings):
    config = CocoConfig(coco=drawn.coco())
    expected = facts(config.build())
    (file,) = every.iterdir()
    content = file.read_bytes()
    for number, at in enumerate(np.random.default_rng(0).integers(len(content), size=40).tolist(), 2):
        damaged = bytearray(content)
        damaged[at] ^= 1 << at % 8
        file.write_bytes(damaged)
        assert facts(config.build()) == expected
        assert len(readings) == number
    file.write_bytes(content[:-40])
    assert facts(config.build()) == expected
    assert len(readings) == number + 1


def test_a_cache_that_cannot_be_written_is_no_obstacle(drawn, every, readings, monkeypatch):
    (drawn.root / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(drawn.root / "file"))
    config = CocoConfig(coco=drawn.coco())
    assert len(config.build()) == len(config.build()) == 6
    assert len(readings) == 2


def test_files_of_this_moment_are_not_kept(drawn, every, readings, monkeypatch):
    """They could change again without another time of change."""
    monkeypatch.setattr(kept, "_SETTLED_S", 1e6)
    config = CocoConfig(coco=drawn.coco())
    config.build(), config.build()
    assert len(readings) == 2


def replace_the_folder(photographs):
    photographs.rename(photographs.with_name("old"))
    photographs.with_name("other").rename(photographs)


@pytest.mark.parametrize("change", [lambda photographs: (photographs / "3.png").unlink(), replace_the_folder])
def test_an_index_is_not_kept_of_files_that_vanish_while_they_are_read(change, every, tmp_path, save, monkeypatch):
    for name in ("photographs/1.png", "photographs/2.png", "photographs/3.png", "other/1.png", "other/2.png"):
        save(tmp_path / name)
    monkeypatch.setattr(kept, "_SETTLED_S", 0)
    time.sleep(0.02)  # more than a tick of the files' clock
    config, read = ImagesConfig(images=tmp_path / "photographs"), ImagesConfig._read

    def read_in_time(self):
        found = read(self)
        time.sleep(0.02)
        change(tmp_path / "photographs")
        return found

    with monkeypatch.context() as once:
        once.setattr(ImagesConfig, "_read", read_in_time)
        assert len(config.build()) == 3
    assert len(config.build()) == 2


def test_a_cache_that_may_not_be_looked_into_is_done_without(drawn, every, readings, monkeypatch):
    config, stat = CocoConfig(coco=drawn.coco()), os.stat

    def denied(path, **given):
        if str(path).startswith(str(every)):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, **given)

    config.build()
    monkeypatch.setattr(os, "stat", denied)
    assert len(config.build()) == 6
    assert len(readings) == 2


def test_small_sources_leave_nothing_in_the_cache(drawn, every, monkeypatch):
    monkeypatch.setattr(kept, "_FEWEST", 13)
    CocoConfig(coco=drawn.coco()).build()
    assert not every.exists()


def test_foregrounds_of_a_kept_index_are_the_same(drawn, every):
    read, found = (PhotoForegrounds(CocoConfig(coco=drawn.coco()).build(), patch_px=32) for _ in range(2))
    assert list(found.keys) == list(read.keys)
    assert list(found.files) == list(read.files)
    rows = np.array([4, 0, 3])
    assert found.fetch(rows).alpha.equal(read.fetch(rows).alpha)
    mask = found.annotations.masks[-1]
    assert draw_mask(mask, found.annotations.root, (160, 120)).any()


def test_a_source_is_read_where_there_is_no_home(no_home):
    assert kept.kept_index({}, lambda: "what was read") == "what was read"
