"""`kill -9` at any write and in any step: a run and a set go on to what nobody's kill would have given."""

import functools
import random
import shutil

import pytest

from drawn_sets import files_of
from file_faults import FileFaults, in_a_fork, kill
from killing import lasting
from terse.generate import generate
from terse.generate.settings import GenerateSettings
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import train

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times
ARMS = {
    "learned": (),
    "harvests_after": ("synthesis.harvest=after",),
    "random": ("synthesis.kind=random",),
    "alternating": ("alternation=batch",),
    "critic": ("synthesis.feedback=critic", "synthesis.critic={feature_steps: 3, first_fit: 24, batch_size: 16}"),
}
FORMATS = ("coco", "voc", "yolo", "webdataset")
A_RUN, A_SET = 12, 10
"""Kills of each arm and of each format: 100 in all."""


class DiesAt(Observer):
    """Kills the process at so many events of the run: phases, steps and cycles."""

    def __init__(self, at=None):
        self.at, self.events = at, 0

    def phase(self, *what):
        self._event()

    def step(self, **numbers):
        self._event()

    def cycle(self, row):
        self._event()

    def _event(self):
        self.events += 1
        if self.events == self.at:
            kill()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, small):
    """An arm's recipe, what its run finds, its lines of metrics, and how many events and writes it has."""

    @functools.cache
    def run(arm):
        own = ("synthesis.s", "synthesis.h", "synthesis.m")  # settings that only the learned arm knows
        recipe = load_recipe(
            "quickstart", [*(o for o in small if arm != "random" or not o.startswith(own)), *ARMS[arm]]
        )
        folder, events = tmp_path_factory.mktemp(arm), DiesAt()
        with FileFaults(folder).watching() as faults:
            found = lasting(train(recipe, out=folder / "run", observer=events))
        return recipe, found, (folder / "run" / "metrics.jsonl").read_bytes(), events.events, faults.count

    return run


def run_survives(unbroken, tmp_path, arm, kills):
    """Kill the arm's run at places drawn over its events and writes; how many kills there were."""
    recipe, found, lines, events, writes = unbroken(arm)
    draw, killed = random.Random(arm), 0
    for number in range(kills):
        out = tmp_path / f"{arm}-{number}" / "run"
        out.parent.mkdir()
        if number % 2:
            faults = FileFaults(out.parent, 1 + draw.randrange(writes), kill)
            observer = Observer()
        else:
            faults, observer = FileFaults(out.parent), DiesAt(1 + draw.randrange(events))

        def work(out=out, faults=faults, observer=observer):
            with faults.watching():
                train(recipe, out=out, observer=observer)

        assert in_a_fork(work) is None, "the run was to be killed"
        killed += 1
        begun = (out / "recipe.yaml").exists()
        assert lasting(train(recipe, out=out, resume=begun)) == found, (arm, faults.at, observer)
        assert (out / "metrics.jsonl").read_bytes() == lines
        shutil.rmtree(out.parent)
    return killed


def test_a_run_survives_a_kill(unbroken, tmp_path):
    assert run_survives(unbroken, tmp_path, "learned", 2) == 2  # at an event, at a write


@pytest.mark.slow
@pytest.mark.parametrize("arm", ARMS)
def test_a_run_survives_many_kills(unbroken, tmp_path, arm):
    assert run_survives(unbroken, tmp_path, arm, A_RUN) == A_RUN


def set_survives(recipe, tmp_path, form, kills):
    """Kill the writing of a set at drawn writes, some of them twice; how many kills there were."""

    def make(out, *, resume=False):
        generate(recipe, GenerateSettings(count=7, shard_images=2, format=form), out, workers=0, resume=resume)

    with FileFaults(tmp_path / "whole").watching() as faults:
        make(tmp_path / "whole")
    whole, draw, killed = files_of(tmp_path / "whole"), random.Random(form), 0
    while killed < kills:
        out = tmp_path / f"{form}-{killed}"
        for again in (False, True):
            at = 1 + draw.randrange(faults.count)

            def work(out=out, again=again, at=at):
                with FileFaults(out, at, kill).watching():
                    make(out, resume=again)

            killed += in_a_fork(work) is None
            if killed == kills or draw.random() < 0.5:
                break
        make(out, resume=True)
        assert files_of(out) == whole
        shutil.rmtree(out)
    return killed


def test_a_set_survives_a_kill(labelled, tmp_path):
    assert set_survives(labelled, tmp_path, "coco", 4) == 4


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS)
def test_a_set_survives_many_kills(labelled, tmp_path, form):
    assert set_survives(labelled, tmp_path, form, A_SET) == A_SET
