"""`metrics.jsonl` holds every step once, whatever was killed (test_resume.py compares whole files)."""

import json

import pytest

from terse.errors import RunError
from terse.progress import Observer
from terse.recipe import load_recipe
from terse.run import train
from terse.training.metrics_log import MetricsLog


class Counting(Observer):
    """Counts steps by cycle and phase."""

    def __init__(self):
        self.now, self.steps = None, []

    def phase(self, cycle, phase, steps, done):
        self.now = (cycle, phase)

    def step(self, **numbers):
        self.steps.append((*self.now, numbers))


def read(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_line_for_each_step_and_each_evaluation(tmp_path, small):
    watcher = Counting()
    result = train(load_recipe("quickstart", small), out=tmp_path / "run", observer=watcher)
    lines = read(tmp_path / "run")
    of_steps = [line for line in lines if line["phase"] != "evaluate"]
    assert [(line["cycle"], line["phase"]) for line in of_steps] == [step[:2] for step in watcher.steps]
    rest = [{k: v for k, v in line.items() if k not in ("cycle", "phase", "step")} for line in of_steps]
    assert rest == [step[2] for step in watcher.steps]
    fine_tuned = [line["step"] for line in lines if (line["cycle"], line["phase"]) == (1, "target")]
    assert fine_tuned == list(range(1, len(fine_tuned) + 1))
    evaluated = [line for line in lines if line["phase"] == "evaluate"]
    assert [line["cycle"] for line in evaluated] == [0, 1, 2]
    ends = [result["metrics"]["start"]["accuracy"], *(row["accuracy"] for row in result["cycles"])]
    assert [line["accuracy"] for line in evaluated] == ends
    assert [line["samples"] for line in evaluated[1:]] == [row["samples"] for row in result["cycles"]]


def test_lines_wait_for_the_checkpoint_and_later_ones_are_cut(tmp_path):
    log = MetricsLog(tmp_path / "run")
    log.add(1, "target", 1, {"loss": 0.5})
    assert not (tmp_path / "run").exists()
    length = log.state()
    assert length == (tmp_path / "run" / "metrics.jsonl").stat().st_size
    log.add(1, "target", 2, {"loss": float("nan")})
    log.state()
    assert read(tmp_path / "run")[1] == {"cycle": 1, "phase": "target", "step": 2, "loss": None}
    log.add(1, "target", 3, {"loss": 0.1})
    log.restore(length)
    assert log.state() == length
    assert read(tmp_path / "run") == [{"cycle": 1, "phase": "target", "step": 1, "loss": 0.5}]
    log.restore(length + 100)  # a file that somebody shortened is left alone
    assert log.state() == length


def test_a_run_in_memory_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = MetricsLog(None)
    log.add(0, "pretrain", 1, {"loss": 1.0})
    assert log.state() == 0
    log.restore(0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.mkdir()
    log = MetricsLog(tmp_path)
    log.add(0, "pretrain", 1, {"loss": 1.0})
    with pytest.raises(RunError) as caught:
        log.state()
    assert str(caught.value) == f"{path}: expected room to write it, got: Is a directory"
