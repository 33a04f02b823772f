"""A run that was killed and taken up again ends where an unbroken one does."""

import functools
import os
import signal
import time

import pytest
import torch

from forked import Forked
from killing import KillAt, Killed, KillIn, StopAt, assert_channels_last, lasting
from terse.errors import RunError
from terse.progress import Interrupted
from terse.recipe import load_recipe
from terse.run import open_run, open_session, train
from terse.training.checkpoint import read_checkpoint, write_checkpoint
from terse.training.state import PHASES

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times
slow = functools.partial(pytest.param, marks=pytest.mark.slow)


def lines(folder):
    return (folder / "metrics.jsonl").read_bytes()


def weights(folder):
    return torch.load(folder / "target.pth", weights_only=True)


ARMS = {
    "learned": (),
    "harvests_after": ("synthesis.harvest=after",),
    "random": ("synthesis.kind=random",),
    "alternating": ("alternation=batch",),
    "critic": (
        "synthesis.feedback=critic",
        "synthesis.critic={feature_steps: 3, first_fit: 24, batch_size: 16}",
    ),
}


def settings_of(arm, small):
    own = ("synthesis.s", "synthesis.h", "synthesis.m")  # settings that only the learned arm knows
    return [*(o for o in small if arm != "random" or not o.startswith(own)), *ARMS[arm]]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, small):
    """Each arm's recipe, the folder of a run that nobody stopped, and what it found; made when it is asked for."""

    @functools.cache
    def run(arm):
        recipe = load_recipe("quickstart", settings_of(arm, small))
        folder = tmp_path_factory.mktemp(arm)
        return recipe, folder, lasting(train(recipe, out=folder / "run"))

    return run


def goes_on(unbroken, tmp_path, arm, *kills):
    """A run that was killed at each of these places in turn ends as one that nobody stopped."""
    recipe, folder, whole = unbroken(arm)
    for number, place in enumerate(kills):
        with pytest.raises(Killed):
            train(recipe, out=tmp_path / "run", observer=KillIn(*place), resume=number > 0)
        assert_channels_last(open_session(recipe, tmp_path / "run", resume=True).players)
    again = train(recipe, out=tmp_path / "run", resume=True)
    assert lasting(again) == whole
    assert lines(tmp_path / "run") == lines(folder / "run")
    before, after = weights(folder / "run"), weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(before[name].stride() == after[name].stride() for name in before)


FIRST_CYCLE = (
    (0, "pretrain", 2),
    (0, "evaluate", 0),
    (1, "synthesizer", 2),
    (1, "target", 2),
    (1, "evaluate", 0),
)


def test_a_run_killed_in_every_phase_of_its_first_cycle_goes_on_to_the_same_figures(unbroken, tmp_path):
    goes_on(unbroken, tmp_path, "learned", *FIRST_CYCLE)


@pytest.mark.parametrize(
    ("arm", "cycle", "phase", "step"),
    [
        *(slow("learned", *place) for place in FIRST_CYCLE),
        slow("learned", 1, "synthesizer", 4),
        slow("learned", 1, "target", 0),
        slow("learned", 2, "synthesizer", 1),
        slow("harvests_after", 1, "harvest", 0),
        ("harvests_after", 1, "harvest", 1),
        slow("random", 1, "harvest", 1),
        slow("random", 1, "target", 0),
        ("critic", 1, "harvest", 3),
        slow("critic", 1, "harvest", 1),
        slow("critic", 2, "harvest", 2),
        ("random", 1, "target", 4),
        ("alternating", 1, "synthesizer", 4),
        slow("alternating", 1, "evaluate", 0),
        slow("alternating", 2, "synthesizer", 5),
    ],
)
def test_a_killed_run_goes_on_to_the_same_figures(unbroken, tmp_path, arm, cycle, phase, step):
    goes_on(unbroken, tmp_path, arm, (cycle, phase, step))


def test_networks_are_channels_last_before_a_phase_and_in_a_finished_run(unbroken):
    recipe, folder, _ = unbroken("learned")
    assert_channels_last(open_session(recipe, None).players)
    _, players, _ = open_run(folder / "run")
    assert_channels_last(players)


def test_a_second_kill_before_the_synthesizers_turn_costs_it_nothing(unbroken, tmp_path):
    recipe, folder, whole = unbroken("learned")
    with pytest.raises(Killed):
        train(recipe, out=tmp_path / "run", observer=KillIn(1, "target", 2))
    with pytest.raises(Killed):  # the state is written at step 3, when no synthesizer's optimiser was made yet
        train(recipe, out=tmp_path / "run", observer=KillIn(1, "target", 4), resume=True)
    tensors, facts = read_checkpoint(tmp_path / "run" / "state")
    assert facts["position"] == [1, PHASES.index("target"), 3]
    assert set(tensors["optimizers"]) == {"synthesizer", "target"}
    assert lasting(train(recipe, out=tmp_path / "run", resume=True)) == whole
    before, after = weights(folder / "run"), weights(tmp_path / "run")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_stopping_keeps_the_very_last_step(unbroken, tmp_path):
    recipe, folder, whole = unbroken("learned")
    with pytest.raises(Interrupted):
        train(recipe, out=tmp_path / "run", observer=StopAt(8))
    _, facts = read_checkpoint(tmp_path / "run" / "state")
    assert facts["position"][2] > 0
    assert lasting(train(recipe, out=tmp_path / "run", resume=True)) == whole
    assert lines(tmp_path / "run") == lines(folder / "run")


def test_a_finished_run_can_be_resumed_for_its_result(unbroken):
    recipe, folder, whole = unbroken("learned")
    assert lasting(train(recipe, out=folder / "run", resume=True)) == whole


class Hangs(KillAt):
    """Waits after so many steps, and says so by a file."""

    def __init__(self, steps, said):
        super().__init__(steps)
        self.said = said

    def step(self, **numbers):
        self.left -= 1
        if not self.left:
            self.said.touch()
            time.sleep(3600)


def test_kill_9_from_outside(unbroken, tmp_path):
    recipe, folder, whole = unbroken("learned")
    observer = Hangs(8, tmp_path / "hangs")
    with Forked(tmp_path, lambda: train(recipe, out=tmp_path / "run", observer=observer)) as process:
        while not observer.said.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "run" / "state" / "checkpoint.pth").exists()
    assert not (tmp_path / "run" / "result.json").exists()
    assert lasting(train(recipe, out=tmp_path / "run", resume=True)) == whole
    assert lines(tmp_path / "run") == lines(folder / "run")


def test_a_torn_checkpoint_falls_back_to_the_previous_one(tmp_path):
    write_checkpoint(tmp_path, {"w": torch.ones(2)}, {"n": 1})
    write_checkpoint(tmp_path, {"w": torch.zeros(2)}, {"n": 2})
    (tmp_path / "checkpoint.pth").write_bytes(b"torn")
    tensors, facts = read_checkpoint(tmp_path)
    assert (tensors["w"].tolist(), facts) == ([1, 1], {"n": 1})


def test_a_full_disk_leaves_the_state_before_it_whole(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, {"w": torch.ones(2)}, {"n": 1})

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    path = tmp_path / "checkpoint.pth"
    with pytest.raises(RunError) as caught:
        write_checkpoint(tmp_path, {"w": torch.zeros(2)}, {"n": 2})
    assert str(caught.value) == (
        f"{path}: expected to write a checkpoint, got: No space left on device; the state before it is whole in {path}"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint.pth"]
    assert read_checkpoint(tmp_path)[1] == {"n": 1}


def test_a_state_of_another_format_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("terse.training.checkpoint.FORMAT", 7)
    write_checkpoint(tmp_path, {}, {})
    monkeypatch.undo()
    with pytest.raises(RunError) as caught:
        read_checkpoint(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path / 'checkpoint.pth'}: expected state of format 1, got 7; "
        "go on with the version of terse that wrote it"
    )


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "owned"),))

    torch.save({"tensors": Evil(), "facts": "{}"}, tmp_path / "checkpoint.pth")
    with pytest.raises(RunError, match=r"checkpoint.pth is broken \(.*it holds what only code could make"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_folders_that_cannot_be_used(tmp_path, small):
    recipe = load_recipe("quickstart", [*small, "cycles=0", "pretrain.epochs=0"])
    run = tmp_path / "run"
    train(recipe, out=run)
    with pytest.raises(RunError) as caught:
        train(recipe, out=run)
    assert str(caught.value) == (
        f"{run}: expected a new folder, got one that holds a run; add `resume` to go on with it"
    )
    with pytest.raises(RunError) as caught:
        train(recipe.model_copy(update={"seed": 5}), out=run, resume=True)
    assert str(caught.value) == (
        f"{run}: expected the recipe that the run began with, got another seed: 5 instead of 0"
    )
    with pytest.raises(RunError) as caught:
        train(recipe, out=tmp_path / "none", resume=True)
    assert str(caught.value) == (
        f"{tmp_path / 'none'}: expected a run to go on with, got none; leave `resume` out to begin one"
    )
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(RunError) as caught:
        train(recipe, out=tmp_path / "full")
    assert str(caught.value) == (
        f"{tmp_path / 'full'}: expected a new or empty folder, got one with files in it; give `out` another"
    )
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("how", ["resume", "restart"])
def test_there_is_a_folder_to_go_on_with(small, how):
    with pytest.raises(RunError) as told:
        train("quickstart", small, **{how: True})
    assert str(told.value) == f"{how}: expected the folder of a run as out, got none"
