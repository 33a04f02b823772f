"""A stopped run whose files are cut or flipped: it ends where the unbroken one does, or is refused in a sentence."""

import os
import random
import shutil

import pytest

from drawn_sets import files_of
from killing import Killed, KillIn, lasting
from terse.errors import TerseError
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.progress import Interrupted, Observer
from terse.recipe import load_recipe
from terse.run import train

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times

CHECKED = (
    "state/checkpoint.pth",
    "state/previous.pth",
    "pool/cycle-0001.parquet",
    "pool/cycle-0002.parquet",
    "recipe.yaml",
)


@pytest.fixture(scope="module")
def stopped(small, tmp_path_factory):
    """A recipe, a run of it that was killed in its second cycle, and what the unbroken one finds."""
    recipe = load_recipe("quickstart", [*small, "synthesis.harvest=after"])
    folder = tmp_path_factory.mktemp("torn")
    whole = lasting(train(recipe, out=folder / "whole"))
    with pytest.raises(Killed):
        train(recipe, out=folder / "run", observer=KillIn(2, "target", 4))
    return recipe, folder / "run", whole


def goes_on_or_is_refused(stopped, tmp_path, places, seed):
    """How many of so many damaged runs were refused."""
    recipe, folder, whole = stopped
    draw, refused = random.Random(seed), 0
    for number in range(places):
        run = shutil.copytree(folder, tmp_path / "run")
        for name in draw.sample(CHECKED, draw.choice((1, 1, 2))):
            content = bytearray((run / name).read_bytes())
            at = draw.randrange(len(content))
            if number % 2:
                content[at] ^= 1 << draw.randrange(8)
            else:
                del content[at:]
            (run / name).write_bytes(content)
        try:
            assert lasting(train(recipe, out=run, resume=True)) == whole, number
        except TerseError as error:
            assert str(error)
            refused += 1
        shutil.rmtree(run)
    return refused


def test_damaged_files_of_a_run(stopped, tmp_path):
    assert 0 < goes_on_or_is_refused(stopped, tmp_path, 6, seed=0) <= 6


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_many_damaged_files_of_a_run(stopped, tmp_path, part):
    assert 0 < goes_on_or_is_refused(stopped, tmp_path, 50, seed=1 + part) < 50


class StopsAfter(Observer):
    def __init__(self, images):
        self.images = images

    def advance(self, what, done, total):
        if done >= self.images:
            raise Interrupted


def test_images_that_vanish_from_a_stopped_set_are_made_again(labelled, tmp_path):
    settings = GenerateSettings(count=6, shard_images=2)
    generate(labelled, settings, tmp_path / "whole", workers=0)
    with pytest.raises(Interrupted):
        generate(labelled, settings, tmp_path / "set", workers=0, observer=StopsAfter(4))
    (tmp_path / "set" / "images" / "00000001.jpg").unlink()
    (tmp_path / "set" / ".parts" / "000001" / "done.json").write_text('{"images": 2')
    generate(labelled, settings, tmp_path / "set", workers=0, resume=True)
    assert files_of(tmp_path / "set") == files_of(tmp_path / "whole")


def test_backgrounds_that_vanished_are_named(labelled, tmp_path, monkeypatch):
    settings = GenerateSettings(count=6, shard_images=2)
    with pytest.raises(Interrupted):
        generate(labelled, settings, tmp_path / "set", workers=0, observer=StopsAfter(2))
    folder = str(labelled.backgrounds.images)
    there = os.path.isfile
    monkeypatch.setattr("terse.sources.decode.os.path.isfile", lambda path: folder not in str(path) and there(path))
    with pytest.raises(TerseError, match=r"000\.jpg"):
        generate(labelled, settings, tmp_path / "set", workers=0, resume=True)
