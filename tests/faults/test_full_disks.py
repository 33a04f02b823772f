"""The disk is full or read-only at any write: one sentence, and the work goes on when there is room."""

import errno
import os
import random
import shutil

import pytest

from drawn_sets import files_of
from file_faults import FileFaults
from killing import lasting
from terse.errors import TerseError
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.recipe import load_recipe
from terse.run import train

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times

FORMATS = ("coco", "voc", "yolo", "webdataset")
NUMBERS = (errno.ENOSPC, errno.EROFS)


def failing(root, at, number):
    def happens():
        raise OSError(number, os.strerror(number), str(root))

    return FileFaults(root, at, happens)


def refused(work, root, at, number):
    """Whether the work ended; what ends it is a sentence of ours, or the system's own error, which the command line words."""
    faults = failing(root, at, number)
    try:
        with faults.watching():
            work()
    except TerseError as error:
        text = str(error)
        assert os.strerror(number) in text or "could not be" in text or "no room" in text, text
    except OSError as error:
        assert error.errno == number, error
    else:
        return False
    return True


def disks_of_a_set(recipe, tmp_path, form, places):
    def make(out, *, resume=False):
        generate(recipe, GenerateSettings(count=5, shard_images=2, format=form), out, workers=0, resume=resume)

    with FileFaults(tmp_path / "whole").watching() as faults:
        make(tmp_path / "whole")
    whole, draw = files_of(tmp_path / "whole"), random.Random(form)
    for place in range(places):
        out, at = tmp_path / f"{form}-{place}", 1 + draw.randrange(faults.count)
        refused(lambda out=out: make(out), out, at, NUMBERS[place % 2])
        make(out, resume=True)
        assert files_of(out) == whole, at
        shutil.rmtree(out)


def test_a_disk_that_is_full_while_a_set_is_written(labelled, tmp_path):
    disks_of_a_set(labelled, tmp_path, "coco", 6)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_disks_that_are_full_at_any_write_of_a_set(labelled, tmp_path, form):
    disks_of_a_set(labelled, tmp_path, form, 40)


def disks_of_a_run(small, tmp_path, places):
    recipe = load_recipe("quickstart", [*small, "synthesis.harvest=after"])
    with FileFaults(tmp_path / "whole").watching() as faults:
        whole = lasting(train(recipe, out=tmp_path / "whole"))
    lines, draw = (tmp_path / "whole" / "metrics.jsonl").read_bytes(), random.Random(places)
    for place in range(places):
        out, at = tmp_path / f"run-{place}", 1 + draw.randrange(faults.count)
        refused(lambda out=out: train(recipe, out=out), out, at, NUMBERS[place % 2])
        begun = (out / "recipe.yaml").exists()
        assert lasting(train(recipe, out=out, resume=begun)) == whole, at
        assert (out / "metrics.jsonl").read_bytes() == lines, at
        shutil.rmtree(out)


def test_a_disk_that_is_full_while_a_run_trains(small, tmp_path):
    disks_of_a_run(small, tmp_path, 2)


@pytest.mark.slow
def test_disks_that_are_full_at_any_write_of_a_run(small, tmp_path):
    disks_of_a_run(small, tmp_path, 60)
