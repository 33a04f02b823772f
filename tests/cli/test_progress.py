import time

import pytest

from commands import run
from terse.cli.progress import RunProgress, counting, watching


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("terse.cli.progress.SOON_SECONDS", 2.0)
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


def test_a_count_is_heard_of_after_two_seconds_then_every_half_minute(clock, capsys):
    for watcher in (RunProgress(3), None):
        with counting() as lines:
            observer = watcher or lines
            for done in range(1, 41):
                clock.now += 0.9
                observer.advance("looking at masks", 100 * done, 4000)
                observer.advance("soon done", min(done, 2), 2)
        assert capsys.readouterr().err.splitlines() == ["looking at masks 400/4,000", "looking at masks 3,800/4,000"]


def test_at_a_terminal_a_run_has_a_bar_for_what_it_counts_first(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with watching(2, ("accuracy",)) as watcher:
        watcher.advance("looking at masks", 100, 4000)
        assert [task.fields["figures"] for task in watcher._bars.tasks] == ["", "100/4,000"]
        watcher.advance("looking at masks", 4000, 4000)
        assert [task.visible for task in watcher._bars.tasks] == [True, False]


def test_preview_and_generate_tell_how_far_cleanup_is(drawn, capsys, monkeypatch):
    drawn.coco(count=6)
    recipe = drawn.recipe()
    given = (recipe, "synthesis.kind=random", "--count", "2")
    for command in (("preview", *given), ("generate", *given, "--workers", "0")):
        heard = []
        with monkeypatch.context() as patched:
            patched.setattr("terse.cli.progress.Lines.advance", lambda _, *count, to=heard: to.append(count))
            code, _, err = run(capsys, *command, "--out", drawn.root / f"{command[0]}.png")
        assert code == 0, err
        assert ("looking at masks", 6, 6) in heard
