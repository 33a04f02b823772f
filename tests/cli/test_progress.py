import time

import pytest

from terse.cli.progress import RunProgress


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def test_a_log_hears_of_a_long_phase_every_half_minute(clock, capsys):
    watcher = RunProgress(3)
    watcher.phase(0, "pretrain", 100, 0)
    for _ in range(40):
        clock.now += 2
        watcher.step(loss=1.5)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "start pretrain 15/100, loss 1.500, 2:50 left of this phase",
        "start pretrain 30/100, loss 1.500, 2:20 left of this phase",
    ]


def test_a_quick_run_says_nothing_between_its_cycles(clock, capsys):
    watcher = RunProgress(2, ("accuracy",))
    watcher.phase(1, "warm_up", 10, 0)
    for _ in range(10):
        clock.now += 0.1
        watcher.step(loss=1.0)
    assert capsys.readouterr().err == ""
    watcher.cycle({"cycle": 1, "accuracy": 0.5, "hard_rate": 0.25, "samples": 1000})
    assert capsys.readouterr().err.startswith("cycle 1/2: accuracy 0.500, hard rate 0.250, samples 1,000")


def test_time_left_of_a_taken_up_phase_counts_only_the_steps_taken_now(clock):
    watcher = RunProgress(2)
    watcher.phase(0, "pretrain", 100, 60)
    for _ in range(10):
        clock.now += 3
        watcher.step()
    assert watcher.left() == ", 1:30 left of this phase"
