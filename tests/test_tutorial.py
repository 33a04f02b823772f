"""Every command of docs/tutorial.md, on the set that it draws: short runs by default, as written when slow tests are wanted."""

import json
import re
import shlex
from pathlib import Path

import pytest

from commands import run
from terse.sources.shapes.__main__ import main, write_set

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL) for line in block.splitlines()]
RECIPE = re.search(r"```yaml\n# run\.yaml\n(.*?)```", TEXT, re.DOTALL).group(1)
SMALL = ("pretrain.steps=2", "fine_tune.steps=2", "pool={per_cycle: 4, candidates: 16}", "cycles=1", "hardness.below=1")
FEWER = {"train": 12, "val": 6, "test": 6, "backgrounds": 6}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def follow(capsys, work, change=lambda words: words, without=(), **fewer):
    """Type what the page says; what each command printed."""
    printed = {}
    for line in COMMANDS:
        words = shlex.split(line)
        if words[1] in without:
            continue
        if words[0] == "python":
            draw(words, fewer)
        elif words[0] == "cd":
            work.chdir(words[1])
        else:
            assert words[0] == "terse"
            if "run.yaml" in words:
                Path("run.yaml").write_text(RECIPE)
            code, out, err = run(capsys, *change(words[1:]))
            assert code == 0, f"{line}: {out}{err}"
            printed[words[1]] = out
    return printed


def draw(words, fewer):
    """`python -m terse.sources.shapes FOLDER`, of fewer images where they are named."""
    assert words[1:3] == ["-m", "terse.sources.shapes"]
    if fewer:
        write_set(Path(words[3]), **fewer)
    else:
        main(words[3:])


def test_there_are_ten_steps_and_a_command_in_nine_of_them():
    assert re.findall(r"^## (\d+)\.", TEXT, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert [words.split()[1] for words in COMMANDS if words.startswith("terse")] == [
        "check", "masks", "init", "check", "preview", "train", "report", "generate", "evaluate", "prove",
    ]  # fmt: skip


def test_the_short_commands_and_a_short_training_run(work, capsys):
    def short(words):
        if words[0] == "masks":
            words = [*words, "--workers", "0"]
        return [*words[:2], *SMALL, *words[2:]] if words[0] == "train" else words

    printed = follow(capsys, work, short, without=("report", "generate", "evaluate", "prove"), **FEWER)
    assert "run.yaml: ready" in printed["check"]
    assert Path("runs/mine/report.html").is_file()


@pytest.mark.slow
def test_the_detector_gets_better_as_the_page_says(work, capsys):
    printed = follow(capsys, work)
    metrics = json.loads(Path("runs/mine/result.json").read_text())["metrics"]
    assert 0.15 < metrics["start"]["ap50"] < 0.4
    assert metrics["end"]["ap50"] > metrics["start"]["ap50"] + 0.2
    assert len(json.loads(Path("composites/annotations.json").read_text())["images"]) == 200
    measured = float(re.search(r"^ap50 +(\S+)", printed["evaluate"], re.MULTILINE).group(1))
    assert measured == pytest.approx(metrics["end"]["ap50"], abs=0.01)  # in full precision, the run's in its own
    assert "verdict" in printed["prove"].lower()
