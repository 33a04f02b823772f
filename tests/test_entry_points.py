"""A package outside terse adds one of each family, one file each, and the command line uses them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

OUTSIDE = Path(__file__).parent / "outside"
KINDS = {
    "pose": "acme_upright",
    "target": "acme_linear",
    "task": "acme_error",
    "source": "acme_list",
    "exporter": "acme_lines",
    "executor": "acme_noting",
    "synthesis": "acme_middle",
}


def installed(site: Path, modules: dict[str, str], *search: Path) -> dict[str, str]:
    """The environment of a process that finds a distribution with these entry points in `site`."""
    about = site / "acme_terse-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-terse\nVersion: 1.0\n", "utf-8")
    groups = (f"[terse.{family}]\nacme = {module}\n" for family, module in modules.items())
    (about / "entry_points.txt").write_text("\n".join(groups), "utf-8")
    path = os.pathsep.join(map(str, (site, *search, *filter(None, [os.environ.get("PYTHONPATH")]))))
    return {**os.environ, "PYTHONPATH": path}


def terse(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "terse", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def in_turn(env: dict[str, str], *commands: list[object]) -> subprocess.CompletedProcess[str]:
    """Commands in one interpreter, until one of them fails."""
    code = (
        "import json, sys; from terse.cli.main import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    try: main(arguments)\n"
        "    except SystemExit as ended:\n"
        "        if ended.code: raise\n"
    )
    words = json.dumps([list(map(str, arguments)) for arguments in commands])
    return subprocess.run([sys.executable, "-c", code, words], env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    modules = {family: f"acme_terse.{family}" for family in KINDS}
    return installed(tmp_path_factory.mktemp("site"), modules, OUTSIDE)


def test_every_family_has_its_entry_points_and_reading_them_imports_no_torch(acme: dict[str, str]) -> None:
    code = (
        "import json, sys; from terse import registry;"
        "found = {family: list(registry.kinds(family)) for family in registry.families()};"
        "print(json.dumps([found, 'torch' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=acme, capture_output=True, text=True, check=True)
    found, torch_is_there = json.loads(done.stdout)
    assert not torch_is_there
    assert {family: kind for family, kind in KINDS.items() if kind in found[family]} == KINDS


def test_the_command_line_lists_its_target(acme: dict[str, str]) -> None:
    assert "acme_linear\n  Logits that are linear in the pixels.\n" in terse(acme, "targets").stdout


def test_a_run_with_its_target_poses_and_synthesizer(acme: dict[str, str], small: list[str], tmp_path: Path) -> None:
    own = ["target.kind=acme_linear", "poses.kind=acme_upright", "synthesis.kind=acme_middle"]
    few = [setting for setting in small if not setting.startswith("synthesis.")]
    done = in_turn(
        acme,
        ["train", "quickstart", *few, *own, "cycles=1", "--out", tmp_path / "run", "--json"],
        ["preview", "quickstart", *few, *own, "--out", tmp_path / "preview.png", "--count", 4],
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[0])["out"] == str(tmp_path / "run")
    assert (tmp_path / "preview.png").is_file()


@pytest.mark.slow
def test_a_run_and_its_page_with_its_task(acme: dict[str, str], small: list[str], tmp_path: Path) -> None:
    own = ["task=acme_error", "synthesis.kind=random", "cycles=1"]
    few = [setting for setting in small if not setting.startswith(("synthesis.", "cycles="))]
    done = terse(acme, "train", "quickstart", *few, *own, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    errors = [result["metrics"]["start"]["error"], result["cycles"][0]["error"]]
    assert result["primary"] == "error"
    assert "cycle 1/1: error " in done.stderr
    assert "The first test image." in (tmp_path / "run" / "report.html").read_text("utf-8")
    beside = terse(acme, "compare", tmp_path / "run", "--json")
    assert json.loads(beside.stdout)[0]["gain"] == errors[0] - errors[result["best_cycle"]]


def test_a_set_from_its_source_in_its_format_by_its_executor(acme: dict[str, str], tmp_path: Path) -> None:
    cut_outs = tmp_path / "cut-outs" / "disc"
    cut_outs.mkdir(parents=True)
    picture = np.zeros((24, 24, 4), np.uint8)
    cv2.circle(picture, (12, 12), 10, (20, 200, 90, 255), -1)
    cv2.imwrite(str(cut_outs / "disc.png"), picture)
    for name in ("one.png", "two.png", "not-listed.png"):
        cv2.imwrite(str(tmp_path / name), np.full((64, 96, 3), 120, np.uint8))
    (tmp_path / "list.txt").write_text("one.png\ntwo.png\n", "utf-8")
    sources = [f"foregrounds.cutouts={tmp_path / 'cut-outs'}", f"backgrounds.acme_list={tmp_path / 'list.txt'}"]
    options = ["--count", 5, "--format", "acme_lines", "--executor", "acme_noting", "--no-page"]
    done = terse(acme, "generate", "paste", *sources, *options, "--out", tmp_path / "set")
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if "acme" in line] == [f"acme makes shard {k}" for k in range(3)]
    lines = (tmp_path / "set" / "objects.txt").read_text("utf-8").splitlines()
    assert [line.split()[:2] for line in lines] == [[f"{k:08d}.jpg", "disc"] for k in range(5)]
    assert len(list((tmp_path / "set" / "pictures").iterdir())) == 5
    assert (tmp_path / "set" / "SHA256SUMS").read_text("utf-8").split()[1] == "pictures/00000000.jpg"


def test_an_unknown_format_is_answered_with_the_nearest(acme: dict[str, str], tmp_path: Path) -> None:
    done = terse(acme, "generate", "paste", "--count", 1, "--format", "acme_line", "--out", tmp_path / "set")
    assert (done.returncode, done.stderr) == (
        2,
        "terse: --format: expected one of acme_lines, coco, imagefolder, semantic, voc, webdataset, yolo, yolo_pose, got "
        "'acme_line'; did you mean 'acme_lines'?\n",
    )


def test_an_import_that_fails_is_raised_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "acme_broken.py").write_text("import not_there\n", "utf-8")
    done = terse(installed(tmp_path, {"target": "acme_broken"}), "targets")
    assert (done.returncode, done.stderr) == (
        2,
        "terse: entry point acme of terse.target: expected a module that can be imported, "
        f"got ModuleNotFoundError(\"No module named 'not_there'\") from {tmp_path / 'acme_broken.py'}\n",
    )


def test_a_kind_that_terse_has_already_names_both_owners(tmp_path: Path) -> None:
    text = (OUTSIDE / "acme_terse" / "target.py").read_text("utf-8").replace("acme_linear", "mnist_classifier")
    (tmp_path / "acme_again.py").write_text(text, "utf-8")
    done = terse(installed(tmp_path, {"target": "acme_again"}), "targets")
    assert (done.returncode, done.stderr) == (
        2,
        "terse: target kind 'mnist_classifier': expected one owner, got terse.targets.classifier.config."
        "MNISTClassifierConfig and acme_again.LinearConfig\n",
    )
