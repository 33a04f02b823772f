"""`terse prove` and `terse compare` as a user runs them."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

import terse.cli.main as command_line
from commands import run
from terse.cli import prove


@pytest.fixture(scope="module")
def proof(tmp_path_factory, small):
    folder = tmp_path_factory.mktemp("proofs") / "digits"
    with pytest.raises(SystemExit) as ended:
        command_line.main(
            [
                "prove",
                "quickstart",
                *small,
                "--arms",
                "none, random",
                "--seeds",
                "2",
                "--workers",
                "1",
                "--out",
                str(folder),
            ]
        )
    assert ended.value.code == 0
    return folder


def test_a_finished_proof_holds_its_result_and_page(proof):
    result = json.loads((proof / "result.json").read_text())
    assert (result["treatment"], result["reference"], result["seeds"]) == ("random", "none", [0, 1])
    assert "<html" in (proof / "report.html").read_text()[:500].lower()


def test_resuming_prints_the_same_object(proof, small, capsys):
    arguments = ["quickstart", *small, "--arms", "none,random", "--seeds", "2", "--workers", "1", "--resume", "--json"]
    code, out, err = run(capsys, "prove", *arguments, "--out", proof)
    assert code == 0
    printed, written = json.loads(out), json.loads((proof / "result.json").read_text())
    assert printed == written
    assert f"quickstart -> {proof}" in err


def test_the_summary_names_arms_and_verdict(proof, small, capsys):
    arguments = ["quickstart", *small, "--arms", "none,random", "--seeds", "2", "--workers", "1", "--resume"]
    code, out, _ = run(capsys, "prove", *arguments, "--out", proof)
    lines = out.splitlines()
    assert code == 0
    assert "accuracy, mean over 2 seeds and its 95% interval" in lines
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["none", "random"]
    assert any(line.startswith("verdict: ") for line in lines)
    assert lines[-1] == f"page: {proof / 'report.html'}"


def test_one_seed_has_no_mean():
    arms = {"none": {"mean": 0.5, "low": None, "high": None}}
    result = {"primary": "accuracy", "seeds": [0], "arms": arms, "verdict": "undecided", "reason": "one.", "alarms": []}
    assert prove._summary(result, Path("report.html")).startswith("accuracy, one seed\n")


def test_stopping_says_how_to_go_on(small, capsys, tmp_path, monkeypatch):
    import terse.cli.prove as module

    monkeypatch.setattr(module._ProofLines, "stop", lambda _: True)
    folder = tmp_path / "out"
    code, out, err = run(capsys, "prove", "quickstart", *small, "--arms", "none,random", "--seeds", "1", "--out", folder, "--workers", "1")  # fmt: skip
    assert (code, out) == (130, "")
    again = shlex.split(err.splitlines()[-1].removeprefix("stopped; go on with: "))
    assert again[:3] == ["terse", "prove", "quickstart"]
    assert again[again.index("--workers") + 1] == "1"
    monkeypatch.undo()
    code, _, _ = run(capsys, *again[1:])
    assert code == 0
    assert (folder / "result.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["quickstart", "--resume"], "--resume: expected --out with the proof's folder, got none"),
        (["quickstart", "--arms", "none"], "arms: expected two or more, got none; for example none,random,learned"),
        (["quickstart", "--seeds", "0"], "seeds: expected 1 or more, got 0; 5 give a verdict"),
        (
            ["quickstart", "--workers", "-1"],
            "--workers: expected an integer >= 0, got -1; 0 works in the process that was begun",
        ),
        (
            ["quickstart", "--treatment", "blind"],
            "treatment: expected one of the arms none, random, mined, learned, got 'blind'",
        ),
    ],
)
def test_mistakes(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "prove", *arguments)
    assert (code, out, err) == (2, "", f"terse: {message}\n")
    assert not list(tmp_path.iterdir())


def test_compare_lists_runs_and_the_arms_of_proofs(proof, capsys):
    alone = proof / "arms" / "random" / "seed-1"
    code, out, _ = run(capsys, "compare", proof, alone, "--json")
    rows = json.loads(out)
    assert code == 0
    assert [(row["arm"], row["seed"]) for row in rows] == [
        ("none", 0),
        ("none", 1),
        ("random", 0),
        ("random", 1),
        ("random", 1),
    ]
    result = json.loads((alone / "result.json").read_text())
    assert rows[-1]["end"] == result["metrics"]["end"]["accuracy"]
    assert rows[-1]["gain"] == pytest.approx(
        result["metrics"]["end"]["accuracy"] - result["metrics"]["start"]["accuracy"]
    )
    assert rows[-1]["kept_cycle"] == result["best_cycle"]  # with `keep: last` it may be the worst
    assert rows[-1]["samples"] == result["cycles"][-1]["samples"]
    code, out, _ = run(capsys, "compare", proof)
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split()[:4] == ["run", "arm", "seed", "metric"]
    assert "kept cycle" in lines[0]
    assert len(lines) == 5
    assert len({line.index("accuracy") for line in lines[1:]}) == 1  # columns stand below each other


def test_compare_counts_seeds_and_leaves_copies_out(proof, capsys, tmp_path):
    folder, run_of_arm = tmp_path / "proof", proof / "arms" / "none" / "seed-0"
    for name in ("seed-10", "seed-9", "seed-9.old"):
        shutil.copytree(run_of_arm, folder / "arms" / "none" / name, ignore=shutil.ignore_patterns("page", "state"))
    code, out, _ = run(capsys, "compare", folder, "--json")
    assert code == 0
    assert [Path(row["run"]).name for row in json.loads(out)] == ["seed-9", "seed-10"]


def test_compare_what_is_no_run(capsys, tmp_path):
    code, out, err = run(capsys, "compare", tmp_path)
    assert (code, out) == (2, "")
    assert err == (
        f"terse: {tmp_path}: expected a finished run or a proof, got no result.json; is the run still going on?\n"
    )
    (tmp_path / "result.json").write_text("{}")
    code, _, err = run(capsys, "compare", tmp_path)
    assert code == 2
    assert err.startswith(f"terse: {tmp_path}: expected a finished run, got one that cannot be read (")


def test_arms_under_a_bound_of_passes_count_in_what_is_left(tmp_path, small, capsys, monkeypatch):
    from terse.progress import Interrupted

    counts = []

    def asked(*_, observer, **__):
        counts.append(observer.count)
        raise Interrupted

    monkeypatch.setattr("terse.proof.prove.prove", asked)
    arguments = ["quickstart", *small, "--arms", "none,mined", "--passes", "2,8", "--seeds", "2"]
    run(capsys, "prove", *arguments, "--out", tmp_path / "out")
    assert counts == [2 * (1 + 4 * 2)]  # two starts; none, mined, mined twice more, two cycles each
