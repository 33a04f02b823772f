"""A run whose target only judges, on the command line: train writes the set, generate --cycle goes on."""

import html
import json
import shutil
import sys

import numpy as np
import pytest

from commands import run
from onnx_files import mean_colours

FEW = ("canvas_px=32", "data={kind: shapes, canvas_px: 32, objects: 1, train: 6, val: 9, test: 12, backgrounds: 4}")
WEIGHT = np.array([[1.0, -1, 0], [-1, 1, 0], [0, 0, 1]])


@pytest.fixture
def onnx_run(tmp_path, capsys, monkeypatch):
    """A run of cycle 1 in `run/`, judged by `one.onnx`."""
    monkeypatch.chdir(tmp_path)
    mean_colours(tmp_path / "one.onnx", WEIGHT)
    shutil.copy("one.onnx", "two.onnx")
    mean_colours(tmp_path / "other.onnx", WEIGHT[::-1])
    target = "target={kind: onnx, weights: one.onnx, outputs: {logits: scores}}"
    arm = ("synthesis={kind: mined}", "hardness={kind: margin, above: 0}", "pretrain=null", "artefacts.count=0")
    size = ("pool={per_cycle: 6, uneven: 3, candidates: 64}",)
    code, out, err = run(capsys, "train", "shapes", "task=classification", target, *FEW, *arm, *size, "--out", "run")
    assert code == 0, err
    return out


def test_train_says_so_and_writes_the_set(onnx_run, tmp_path):
    told = json.loads((tmp_path / "run" / "set-1" / "annotations.json").read_text("utf-8"))
    assert len(told["images"]) == 6
    lines = [line for line in onnx_run.splitlines() if not line.startswith("alarm")]
    assert lines[0].endswith(": this target only judges, terse cannot train it")
    assert lines[1:] == [
        "set           run/set-1: 6 composites that it fails",
        "page          run/report.html",
        "next          train it on the set, then",
        "              terse generate run --target NEW.onnx --cycle 2 --out SET",
    ]


def test_a_run_that_would_find_nothing_is_refused(onnx_run, capsys, tmp_path):
    code, _, err = run(capsys, "train", "run/recipe.yaml", "synthesis.kind=none", "--out", "other")
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "terse: synthesis.kind: expected an arm that finds what OnnxClassifier fails"
    )
    assert not (tmp_path / "other").exists()


def test_a_run_that_wrote_a_set_begins_anew(onnx_run, capsys, tmp_path):
    recipe = tmp_path / "again.yaml"
    shutil.copy(tmp_path / "run" / "recipe.yaml", recipe)
    code, _, err = run(capsys, "train", recipe, "seed=1", "--out", "run", "--restart")
    assert code == 0, err
    assert "seed: 1" in (tmp_path / "run" / "recipe.yaml").read_text("utf-8")


def test_the_next_cycle_measures_the_retrained_model_and_adds_to_the_pool(onnx_run, capsys, tmp_path):
    first = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    given = ("generate", "run", "--target", "other.onnx", "--cycle", "2", "--workers", "0", "--count", "4")
    code, out, err = run(capsys, *given, "--format", "voc", "--out", "set", "--json")
    assert code == 0, err
    told = json.loads(out)
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert (told["cycle"], told["images"]) == (2, 10)
    assert len(told["accuracy"]) == 2
    assert result["metrics"]["start"] == first["metrics"]["start"]
    assert [row["samples"] for row in result["cycles"]] == [6]
    assert result["cycles"][0]["hard_rate"] > 0
    # The same call again changes nothing; another model, or a later cycle, is refused.
    before = (tmp_path / "run" / "result.json").read_bytes()
    code, again, err = run(capsys, *given, "--format", "voc", "--out", "set", "--resume", "--json")
    assert (code, json.loads(again)["images"]) == (0, 10)
    assert "cycle 2 was judged by other.onnx before: nothing is measured again; a new model is judged in cycle 3" in err
    assert (tmp_path / "run" / "result.json").read_bytes() == before
    for words, message in (
        (
            ("--target", "two.onnx", "--cycle", "2"),
            "--cycle: expected 3, the run's next cycle, got 2, which was judged by other.onnx; "
            "`terse render run/pool` draws its set again",
        ),
        (("--target", "two.onnx", "--cycle", "5"), "--cycle: expected 3, the run's next cycle, got 5"),
        (
            ("--cycle", "3"),
            "--target: expected the retrained model beside --cycle, and no other setting, got none",
        ),
        (
            ("--target", "two.onnx", "--cycle", "3", "--objects", "2"),
            "--objects: expected none beside --cycle, whose set is the run's pool, got '2'",
        ),
    ):
        code, _, err = run(capsys, "generate", "run", *words, "--out", "more", "--workers", "0")
        assert (code, err.strip().removeprefix("terse: ")) == (2, message)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--count", "0"), "--count: expected an integer >= 1, got 0"),
        (("--workers", "-1"), "--workers: expected an integer >= 0, got -1; 0 works in the process that was begun"),
        (("--quality", "101"), "--quality: expected an integer <= 100, got 101; 90 is the default"),
        (
            ("--format", "yolo", "--masks", "rle"),
            "--masks: expected auto, polygon or box for yolo, got rle; coco holds every form",
        ),
    ],
)
def test_settings_of_a_cycle_are_looked_at_before_it_is_found(words, message, onnx_run, capsys, tmp_path):
    before = (tmp_path / "run" / "result.json").read_bytes()
    given = ("generate", "run", "--target", "other.onnx", "--cycle", "2", "--out", "set")
    assert run(capsys, *given, *words) == (2, "", f"terse: {message}\n")
    assert (tmp_path / "run" / "result.json").read_bytes() == before


@pytest.mark.parametrize(
    ("used", "message"),
    [
        ("run/set-1", "expected a new folder, got one that holds a set; add --resume to go on with it"),
        ("run", "expected a new or empty folder, got one with files in it; give --out another"),
    ],
)
def test_a_place_for_the_set_is_looked_at_before_a_cycle_is_found(used, message, onnx_run, capsys, tmp_path):
    before = (tmp_path / "run" / "result.json").read_bytes()
    given = ("generate", "run", "--target", "other.onnx", "--cycle", "2", "--workers", "0", "--out", used)
    assert run(capsys, *given) == (2, "", f"terse: {used}: {message}\n")
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_another_model_says_what_is_hard_without_a_cycle(onnx_run, capsys):
    given = ("generate", "run", "--target", "two.onnx", "--count", "3", "--workers", "0", "--out", "set", "--json")
    code, out, _ = run(capsys, *given)
    assert code == 0
    assert json.loads(out)["images"] > 0


def test_a_run_that_trains_its_target_has_no_such_cycles(tmp_path, capsys, monkeypatch, small):
    monkeypatch.chdir(tmp_path)
    few = [*(one for one in small if not one.startswith("synthesis.")), "cycles=1", "synthesis={kind: mined}"]
    assert run(capsys, "train", "quickstart", *few, "--out", "run")[0] == 0
    shutil.copy("run/target.pth", "new.pth")
    code, _, err = run(capsys, "generate", "run", "--target", "new.pth", "--cycle", "2", "--out", "set")
    assert (code, err.splitlines()[-1]) == (
        2,
        "terse: --cycle: expected a run whose target only judges, got run, which trains its own; "
        "`terse train` with more cycles goes on",
    )


BLACK = """
import torch

class Black:
    def predict(self, images):
        return images.mean(dim=(2, 3)).softmax(dim=1)

    def confidence(self, images, truth):
        return self.predict(images)[truth.image_index[truth.pasted], truth.labels[truth.pasted]]

class Better(Black):
    def predict(self, images):
        return (9 * images.mean(dim=(2, 3))).softmax(dim=1)

class Logits(Black):
    def predict(self, images):
        return 9 + images.mean(dim=(2, 3))

class Gone(Black):
    def predict(self, images):
        raise ConnectionError("no server")
"""


@pytest.fixture
def purge():
    """No module of a test is left for another."""
    path = list(sys.path)
    yield
    sys.path[:] = path
    sys.modules.pop("my_black_box", None)


def test_the_lines_of_a_python_black_box_can_be_typed(tmp_path, capsys, monkeypatch, purge):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_black_box.py").write_text(BLACK)
    arm = ("synthesis={kind: mined}", "hardness={kind: margin, above: 0}", "pretrain=null", "artefacts.count=0")
    size = ("pool={per_cycle: 6, uneven: 3, candidates: 64}",)
    target = "target={kind: user, factory: 'my_black_box:Black'}"
    code, out, err = run(
        capsys, "train", "shapes", "task=classification", target, *FEW, *arm, *size, "--out", "run", "--trust"
    )
    assert code == 0, err
    line = out.splitlines()[-1].strip()
    assert line == "terse generate run --target factory=MODULE:NAME --cycle 2 --trust --out SET"
    page = html.unescape((tmp_path / "run" / "report.html").read_text("utf-8"))
    assert "terse train run/recipe.yaml --out run-again --trust" in page
    assert "terse generate run --count 1000 --format coco --out dataset --trust" in page
    before = (tmp_path / "run" / "result.json").read_bytes()
    for name, message in (
        ("Logits", "target.predict: expected Logits to give probabilities that sum to 1, got rows that sum to ["),
        ("Gone", "target.predict: expected an answer of Gone, got ConnectionError: no server"),
    ):
        code, _, err = run(capsys, *line.replace("MODULE:NAME", f"my_black_box:{name}").split()[1:])
        assert (code, err.splitlines()[-1][: len(message) + 7]) == (2, f"terse: {message}")
    assert (tmp_path / "run" / "result.json").read_bytes() == before
    typed = line.replace("MODULE:NAME", "my_black_box:Better").split()[1:]
    code, out, err = run(capsys, *typed, "--workers", "0")
    assert code == 0, err
    assert (
        "next     train on the set, then terse generate run --target factory=MODULE:NAME --cycle 3 --trust --out SET"
        in out
    )
    shutil.rmtree("run/page")
    code, _, err = run(capsys, "report", "run")
    assert (code, err) == (
        2,
        "terse: run: expected page/, which holds the pictures, got none; make it with: terse report run --compute --trust\n",
    )
    assert run(capsys, "report", "run", "--compute", "--trust")[0] == 0
