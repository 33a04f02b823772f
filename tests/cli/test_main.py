"""The command as a user runs it: what it prints, where, and how it exits."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

import terse.cli.main as command_line
from commands import run
from forked import command


def test_version_and_help_import_no_torch():
    for flag in ("--version", "--help"):
        code = (
            "import sys, atexit\n"
            "atexit.register(lambda: print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)), file=sys.stderr))\n"
            f"from terse.cli.main import main; main(['{flag}'])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert done.stderr.strip() == "[]"
    assert "train" in done.stdout


def test_terse_alone_says_what_to_do_next_at_once():
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'torch', 'numpy', 'cyclopts'} & set(sys.modules)), file=sys.stderr))\n"
        "from terse.cli.main import main; main([])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")
    lines = done.stdout.splitlines()
    assert len(lines) < 15
    assert max(map(len, lines)) <= 120
    named = [
        re.sub(r" {2,}.*", "", line.partition("terse ")[2]).split()[0] for line in lines[2:] if "    terse " in line
    ]
    assert named == ["train", "init", "masks", "generate"]


def test_the_shell_completes_commands_recipes_flags(tmp_path):
    """The script that `terse --install-completion` writes, asked by bash itself."""
    home = tmp_path / "home"
    home.mkdir()
    call = [sys.executable, "-m", "terse", "--install-completion", "--shell", "bash"]
    environment = {**os.environ, "HOME": str(home)}
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    (script,) = (home / ".local").rglob("terse")
    for words, wanted in ((["terse", "tra"], "train"), (["terse", "train", "--res"], "--resume")):
        typed = f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}"
        asked = f"source {script}; {typed}; _terse; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, env=environment)
        assert wanted in [word.strip() for word in found.stdout.split()], found


@pytest.mark.parametrize("command", list(command_line._COMMANDS))
def test_every_commands_help_answers(command, capsys):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "Usage" in out


def test_a_flag_that_says_no_is_offered_where_the_default_may_be_yes(capsys):
    offered = {}
    for name in command_line._COMMANDS:
        _, out, _ = run(capsys, name, "--help")
        offered[name] = set(re.findall(r"--(?:no|empty)-[a-z-]+", out))
    assert {name: flags for name, flags in offered.items() if flags} == {
        "generate": {"--no-page", "--no-all-blends"},
        "prove": {"--no-audit"},
    }


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("train", ["On several GPUs: torchrun --nproc-per-node 4 -m terse train RECIPE --out DIR"]),
        (
            "generate",
            ["Without training: terse generate paste", "Another model to say what is hard", "--page --no-page"],
        ),
        ("masks", ["The same command with --drop or --min-score on a file that is made already drops masks from it"]),
        ("init", ["a classifier's name in torchvision; by default one that fits the data and this machine."]),
        ("prove", ["All for detectors, all but the two that need photographs for classifiers; learned only where"]),
        ("report", ["--beside PATH... "]),
    ],
)
def test_help_shows_all_of_a_commands_text_and_folds_it_to_the_window(command, texts, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")
    _, out, _ = run(capsys, command, "--help")
    for text in texts:
        assert text in out
    assert "--empty" not in out
    assert "()" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "quickstart", "synthesis={kind:mined}"],
            "synthesis.kind:mined: expected a known setting, got 'kind:mined'; write 'kind: mined', with a space",
        ),
        (["train", "quickstart", "cycels=3"], "cycels: expected a known setting, got 'cycels'; did you mean 'cycles'?"),
        (["train", "quickstart", "cycles=-1"], "cycles: expected an integer >= 0, got -1; 5 is the paper's"),
        (["train", "quickstart", "seed"], "seed: expected key=value, got no value; for example cycles=3 or data.root=mnist"),
        (["train", "quickstart", "--resume"], "--resume: expected --out with the run's folder, got none"),
        (["train", "quickstart", "--restart"], "--restart: expected --out with the run's folder, got none"),
        (["train", "quickstart", "--device", "cuda:9", "--out", "x"],
         "runtime.device: expected a CUDA device to be there, got 'cuda:9'; use cpu or auto"),
        (["train", "quickstart", "--device", "meta", "--out", "x"],
         "runtime.device: expected cpu, cuda, cuda:N or mps, got 'meta'"),
        (["report", "nowhere"], "nowhere: expected a finished run with recipe.yaml and result.json, got none"),
        (["evaluate", "quickstart", "--checkpoint", "none.pth"], "none.pth: expected a file of weights, got none"),
        (["preview", "quickstart", "--count", "0"], "--count: expected an integer >= 1, got 0"),
        (["preview", "quickstart", "--out", "sheet.jpg"], "--out: expected a .png file, got sheet.jpg"),
    ],
)  # fmt: skip
def test_a_users_mistake_is_one_sentence_and_exit_2(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"terse: {message}"


def test_an_argument_that_the_library_names_is_a_flag_here(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    code, _, err = run(capsys, "train", "quickstart", "--out", "full")
    message = "full: expected a new or empty folder, got one with files in it; give --out another"
    assert (code, err.splitlines()[-1]) == (2, f"terse: {message}")


def test_train_evaluate_report_and_preview(capsys, tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "train", "quickstart", *small, "--json")
    assert code == 0
    result = json.loads(out)
    assert set(result) >= {"out", "primary", "metrics", "cycles", "seconds"}
    assert result["out"] == str(Path("runs") / "quickstart")
    assert set(result["metrics"]) == {"start", "end"}
    wanted = {"samples", "accuracy", "hard_rate", "target_forwards", "target_backwards", "seconds"}
    assert all(wanted <= set(row) for row in result["cycles"])
    folder = tmp_path / "runs" / "quickstart"
    assert json.loads((folder / "result.json").read_text()) == result
    assert json.loads((folder / "labels.json").read_text()) == list("0123456789")
    names = {"recipe.yaml", "result.json", "labels.json", "start.pth", "target.pth", "metrics.jsonl", "report.html"}
    assert {*names, "state", "pool", "page"} == {p.name for p in folder.iterdir()}
    assert "cycle 2/2: accuracy" in err

    code, out, _ = run(capsys, "evaluate", folder / "recipe.yaml", "--checkpoint", folder / "target.pth", "--json")
    assert code == 0
    assert json.loads(out)["metrics"] == pytest.approx(result["metrics"]["end"])

    (folder / "report.html").unlink()
    assert run(capsys, "report", folder)[0] == 0
    assert (folder / "report.html").stat().st_size > 10_000

    code, out, _ = run(capsys, "preview", "quickstart", *small, "--count", 9, "--out", "sheet.png")
    assert code == 0
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_gets_a_folder_of_its_own(capsys, tmp_path, small, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick = [*small, "cycles=0", "pretrain.epochs=0"]
    for _ in range(2):
        run(capsys, "train", "quickstart", *quick)
    assert sorted(p.name for p in (tmp_path / "runs").iterdir()) == ["quickstart", "quickstart-2"]


def test_a_refused_run_says_and_makes_nothing_else(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "train", "quickstart", "runtime.device=cuda:77")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_windows_is_refused_in_a_sentence(capsys, monkeypatch):
    monkeypatch.setattr(command_line.sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        command_line.main(["recipes"])
    assert ended.value.code == 2
    assert "expected Linux or macOS, got Windows" in capsys.readouterr().err


def test_ctrl_c_ends_cleanly_and_says_how_to_go_on(tmp_path, small):
    arguments = ["train", "quickstart", *small, "fine_tune.epochs=4000", "--out", str(tmp_path / "run")]
    state = tmp_path / "run" / "state" / "checkpoint.pth"
    with command(tmp_path, *arguments) as process:
        deadline = time.monotonic() + 600
        while not state.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    said = err.splitlines()[-1]
    assert said.startswith("stopped; go on with: terse train quickstart ")
    assert said.endswith(f"--out {tmp_path / 'run'} --resume")


def test_recipes_targets_and_doctor(capsys):
    code, out, _ = run(capsys, "recipes", "--json")
    assert code == 0
    assert {"quickstart", "affnist-efficiency", "affnist-accuracy", "detector"} <= set(json.loads(out))
    code, out, _ = run(capsys, "recipes", "quickstart")
    assert out.startswith("description:")
    code, out, _ = run(capsys, "targets", "--json")
    assert {"mnist_classifier", "user", "ssd300_vgg16"} <= set(json.loads(out))
    code, out, _ = run(capsys, "doctor", "--json")
    assert code == 0
    assert json.loads(out)["problems"] == []


def test_our_own_bug_is_exit_1_with_its_traceback(capsys, monkeypatch):
    def bug(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("terse.recipe_files.builtin_recipes", bug)
    code, out, err = run(capsys, "recipes")
    assert (code, out) == (1, "")
    assert "ZeroDivisionError" in err
    assert err.splitlines()[-1] == "terse: this is a bug of ours; please report it with the lines above"


def test_too_little_memory_is_no_bug_of_ours(capsys, monkeypatch):
    def large():
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr("terse.recipe_files.builtin_recipes", large)
    code, out, err = run(capsys, "recipes")
    assert (code, out) == (2, "")
    assert err == (
        "terse: memory: expected enough, got: Unable to allocate 7.28 TiB; ask for less at once, or use a larger machine\n"
    )


@pytest.mark.parametrize("command", [["preview"], ["masks", "--out", "m.json"], ["check"]])
def test_what_asks_for_trust_has_the_flag(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for number in range(4):
        cv2.imwrite(str(tmp_path / f"b/{number}.png"), np.full((32, 32, 3), 60 * number, np.uint8))
    recipe = tmp_path / "url.yaml"
    recipe.write_text(
        'base: paste\nforegrounds: {coco: "s3://bucket/a.json", images: "s3://bucket/i"}\n'
        "backgrounds: {images: b}\ntrain: {images: b}\nval: 0.1\n"
    )
    name, *options = command
    _, out, err = run(capsys, name, str(recipe), *options)
    assert "expected --trust" in out + err
    _, out, err = run(capsys, name, str(recipe), *options, "--trust")
    assert "Unknown option" not in out + err
    assert "expected --trust" not in out + err
