"""A proof from end to end on a few digits: shared starts, equal budgets, resuming, and what is refused."""

import functools
import json
import multiprocessing
import shutil

import numpy as np
import pytest
import torch

from killing import Killed
from terse.errors import DataError, RecipeError, RunError, TerseError
from terse.progress import Interrupted, Observer
from terse.proof.arms import Arm, ProofJob, arm_recipe, run_start
from terse.proof.audit import audit_pastes
from terse.proof.prove import _audit, prove
from terse.proof.results import Measured
from terse.proof.summary import ArmRun, _of_treatment, read_runs, summarise, summary_of
from terse.recipe import load_recipe
from terse.recipe_parts import BLENDS
from terse.report.proof_page import proof_page
from terse.results import RunResult
from terse.run import train
from terse.sources.run_data import run_data
from terse.tasks.task import task
from terse.training.checkpoint import read_checkpoint
from terse.training.session import Session

pytestmark = pytest.mark.usefixtures("unchecked")  # the same runs as elsewhere, many times
ARMS = ["none", "random", "learned"]
TINY = [
    "data.train=300",
    "data.val=20",
    "data.test=80",
    "cycles=2",
    "pretrain.epochs=3",
    "pool.per_cycle=60",
    "pool.candidates=400",
    "synthesis.batch_size=64",
    "synthesis.steps=3",
    "synthesis.statistics_pairs=64",
    "synthesis.harvest_from=1",
    "synthesis.max_steps=8",
    "fine_tune.epochs=4",
    "hardness.above=-2",
    "checkpoint.every_steps=3",
]


@pytest.fixture(scope="module")
def recipe():
    return load_recipe("quickstart", TINY)


@pytest.fixture(scope="module")
def data(recipe):
    return run_data(recipe)


@pytest.fixture(scope="module")
def proof(recipe, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof") / "out"
    return folder, prove(recipe, out=folder, arms=ARMS, seeds=2, data=data)


def lasting(result):
    """Everything but the time it took and where."""
    gone = ("seconds", "elapsed_seconds", "out", "costs")
    return {key: value for key, value in result.items() if key not in gone}


def figures(run):
    """A run's figures without times."""
    cycles = [{k: v for k, v in row.items() if not k.endswith("seconds")} for row in run["cycles"]]
    return {
        **{k: run[k] for k in ("primary", "metrics", "best_cycle")},
        "cycles": cycles,
    }


def test_the_object(proof):
    folder, result = proof
    assert json.loads((folder / "result.json").read_text()) == result
    assert result["verdict"] in ("go", "no_go", "undecided")
    assert list(result["arms"]) == ARMS
    for one in result["arms"].values():
        assert set(one) == {"mean", "low", "high", "per_seed"}
        assert len(one["per_seed"]) == 2
        assert one["mean"] == pytest.approx(np.mean(one["per_seed"]))
    gains = np.subtract(result["arms"]["learned"]["per_seed"], result["arms"]["none"]["per_seed"])
    assert result["gain"]["per_seed"] == pytest.approx(gains.tolist())
    assert (result["treatment"], result["reference"], result["primary"]) == (
        "learned",
        "none",
        "accuracy",
    )
    assert result["seeds"] == [0, 1]
    assert result["reason"].startswith("learned over none: accuracy ")


def test_arms_of_a_seed_begin_alike_and_spend_alike(proof):
    folder, result = proof
    runs = read_runs(folder)
    for seed in (0, 1):
        starts = [runs[arm][seed].result.metrics.start for arm in ARMS]
        assert starts[0] == starts[1] == starts[2]
        samples = [[row.samples for row in runs[arm][seed].result.cycles] for arm in ARMS]
        assert samples == [[0, 0], [60, 120], [60, 120]]
        trained = [[row.target_backwards for row in runs[arm][seed].result.cycles] for arm in ("none", "random")]
        assert trained[0] == trained[1]
    assert runs["none"][0].result.metrics.start != runs["none"][1].result.metrics.start
    assert result["alarms"] == []


def test_a_users_copy_of_a_run_is_no_run(proof, recipe, data, tmp_path):
    folder, result = proof
    shutil.copytree(folder, tmp_path / "out")
    shutil.copytree(folder / "arms/none/seed-0", tmp_path / "out/arms/none/seed-0.old")
    again = prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, resume=True)
    assert lasting(again) == lasting(result)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"treatment": "lernd"}, "treatment: expected one of the arms none, random, learned, got 'lernd'"),
        ({"reference": "learned"}, "treatment: expected another arm than the reference, got 'learned' for both"),
        ({"worth": float("nan")}, "worth: expected a number >= 0, got nan; 0 is any gain"),
        ({"worth": -0.01}, "worth: expected a number >= 0, got -0.01; 0 is any gain"),
    ],
)
def test_a_comparison_that_cannot_be_is_refused_before_the_runs(recipe, data, tmp_path, given, message):
    given = {"treatment": "learned", **given}
    with pytest.raises(TerseError) as error:
        prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, observer=StopAfter(0), **given)
    assert str(error.value) == message
    assert not (tmp_path / "out").exists()


def test_an_arm_is_the_run_that_it_would_be_alone(proof, recipe, data, tmp_path):
    folder, _ = proof
    for arm in ("random", "learned"):
        alone = train(arm_recipe(recipe, Arm(arm), 1), out=tmp_path / arm, data=data)
        assert figures(alone) == figures(read_runs(folder)[arm][1].result.to_json())
        mine, theirs = (
            torch.load(f / "target.pth", weights_only=True) for f in (tmp_path / arm, folder / f"arms/{arm}/seed-1")
        )
        assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


def test_what_is_measured_beside_the_result(proof):
    folder, result = proof
    runs = read_runs(folder)
    for arm in ARMS:
        for seed in (0, 1):
            run = runs[arm][seed]
            assert np.mean(run.measured.units) == pytest.approx(run.result.metrics.end.figure("accuracy"))
            assert len(run.measured.units) == 80
    assert runs["none"][0].measured.hardness == []
    assert len(runs["learned"][0].measured.hardness) == 120
    assert runs["learned"][0].measured.coverage.objects == 120
    assert sum(result["hardness"]["random"]["counts"]) == 240
    assert set(result["hardness"]) == {"random", "learned"}
    points = result["curves"]["random"]
    assert [point["samples"] for point in points] == [0, 60, 120]
    assert points[0]["accuracy"] == pytest.approx(
        np.mean([runs["random"][s].result.metrics.start.figure("accuracy") for s in (0, 1)])
    )
    assert points[2]["target_backwards"] > points[1]["target_backwards"] > 0


class KillOne(Observer):
    """Kills a worker process when the first cycle ends."""

    killed = False

    def cycle(self, row):
        if not self.killed:
            self.killed = True
            multiprocessing.active_children()[0].kill()


def test_the_order_of_arms_and_processes_even_killed_ones_change_no_number(proof, recipe, tmp_path):
    folder, result = proof
    with pytest.raises(
        RunError, match=r"seed 0: expected its process to end by itself, got it killed, perhaps for memory"
    ):
        prove(recipe, out=tmp_path / "out", arms=["learned", "none"], seeds=1, workers=2, observer=KillOne())
    other = prove(recipe, out=tmp_path / "out", arms=["learned", "none"], seeds=1, workers=2, resume=True)
    assert list(other["arms"]) == ["none", "learned"]
    for arm in ("none", "learned"):
        assert other["arms"][arm]["per_seed"] == result["arms"][arm]["per_seed"][:1]
        alone, beside = (read_runs(where)[arm][0] for where in (folder, tmp_path / "out"))
        assert alone.measured == beside.measured
        assert figures(alone.result.to_json()) == figures(beside.result.to_json())


def test_a_source_that_is_missing_is_named_by_worker_processes_too(tmp_path):
    recipe = load_recipe("quickstart", [*TINY, f"data.root={tmp_path}"])
    with pytest.raises(DataError) as told:
        run_data(recipe)
    with pytest.raises(DataError) as caught:
        prove(recipe, out=tmp_path / "out", arms=["none", "random"], seeds=1, workers=2)
    assert str(caught.value) == str(told.value)


class StopAfter(Observer):
    """Asks to stop once so many cycles have ended."""

    def __init__(self, cycles):
        self.left = cycles

    def cycle(self, row):
        self.left -= 1

    def stop(self):
        return self.left <= 0


@pytest.mark.parametrize("cycles", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_stopped_proof_goes_on_to_the_same_numbers(proof, recipe, data, tmp_path, cycles):
    _, result = proof
    with pytest.raises(Interrupted):
        prove(
            recipe,
            out=tmp_path / "out",
            arms=ARMS,
            seeds=2,
            data=data,
            observer=StopAfter(cycles),
        )
    again = prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, resume=True)
    assert lasting(again) == lasting(result)


def test_a_kill_while_the_start_is_taken_over(proof, recipe, data, tmp_path):
    folder, result = proof
    shutil.copytree(folder, tmp_path / "out")
    arm = tmp_path / "out" / "arms" / "random" / "seed-0"
    for path in arm.iterdir():
        if path.name != "recipe.yaml":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, resume=True)
    assert lasting(again) == lasting(result)


def test_an_arm_whose_state_is_gone_is_not_thrown_away(proof, recipe, data, tmp_path):
    shutil.copytree(proof[0], tmp_path / "out")
    arm = tmp_path / "out" / "arms" / "random" / "seed-0"
    (arm / "result.json").unlink()
    for path in (arm / "state").iterdir():
        path.unlink()
    with pytest.raises(RunError) as refused:
        prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, resume=True)
    assert str(refused.value) == (
        f"{arm / 'state'}: expected the state of the run that wrote cycle-0001.parquet, got none; restore it, or begin anew "
        "by `restart`, a proof's run by removing its folder"
    )
    assert (arm / "pool" / "cycle-0001.parquet").is_file()


def test_a_kill_at_the_very_end_of_the_start(recipe, data, tmp_path, monkeypatch):
    """What all arms begin with is never trained on by itself."""
    job = ProofJob(None, 0, tmp_path / "start")

    def dies(session, save=Session.save):
        save(session)
        if session.facts["rows"]:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Session, "save", dies)
        with pytest.raises(Killed):
            run_start(recipe, job, data=data)
    run_start(recipe, job, data=data)
    _, facts = read_checkpoint(job.folder / "state")
    assert (facts["position"], len(facts["rows"])) == ([1, 0, 0], 1)


def test_an_arm_that_this_material_does_not_suit_is_refused_before_anything_is_trained(tmp_path, monkeypatch):
    """The synthesizer of digits, which an arm gets from a recipe that says nothing of `learned`, sees no photographs."""

    def trains(session):
        raise AssertionError

    monkeypatch.setattr("terse.proof.arms.train_start", trains)
    mined = load_recipe("shapes", ["synthesis={kind: mined}"])
    small = mined.data.model_copy(update={"train": 4, "val": 2, "test": 2, "backgrounds": 2})
    with pytest.raises(RecipeError) as refused:
        prove(mined, out=tmp_path / "out", arms=["none", "learned"], seeds=1, data=small.build())
    assert str(refused.value) == (
        "arms: learned: synthesis.network: expected photographs for images of 3 x 96 x 96, got digits, which takes "
        "1 x 40 x 40 (channels, height, width)"
    )
    assert not (tmp_path / "out").exists()


def test_blends_of_arms_that_are_added_are_probed_too(monkeypatch, tmp_path):
    asked = []

    class Found:
        def to_json(self):
            return {"auc": dict.fromkeys(asked[-1], 0.5), "threshold": 0.8, "warnings": []}

    def audit(context, edges, *, blends, patched):
        asked.append(blends)
        return Found()

    monkeypatch.setattr("terse.proof.audit.audit_pastes", audit)
    shapes = load_recipe("shapes")
    small = shapes.data.model_copy(update={"train": 4, "val": 2, "test": 2, "backgrounds": 2})
    material = small.build()
    for arms in (["none", "random"], ["none", "random"], ["none", "context"], ["none", "random"]):
        _audit(shapes, [Arm(name) for name in arms], tmp_path, material)
    assert asked == [("alpha",), BLENDS]


@pytest.mark.slow
def test_seeds_and_arms_can_be_added(proof, recipe, data, tmp_path):
    _, result = proof
    first = prove(recipe, out=tmp_path / "out", arms=["none", "learned"], seeds=1, data=data)
    assert first["verdict"] == "undecided"
    assert first["reason"].startswith("one seed gives no verdict: learned over none, accuracy ")
    again = prove(recipe, out=tmp_path / "out", arms=ARMS, seeds=2, data=data, resume=True)
    assert lasting(again) == lasting(result)


def test_another_question_to_the_same_runs(proof):
    folder, _ = proof
    other = summarise(folder, treatment="random", reference="learned")
    assert (other.treatment, other.reference) == ("random", "learned")


def test_unequal_pools_are_told(recipe, data, tmp_path):
    settings = load_recipe("quickstart", [*TINY, "hardness.above=0.999", "cycles=1"])
    result = prove(settings, out=tmp_path / "out", arms=["random", "mined"], seeds=1, data=data)
    kept = {arm: run[0].result.cycles[-1].samples for arm, run in read_runs(tmp_path / "out").items()}
    assert kept["mined"] < kept["random"] == 60
    assert result["alarms"] == [
        f"seed 0: the arms found unequal numbers of synthetic images (random 60, mined {kept['mined']}); "
        "raise pool.candidates",
        "mined, seed 0: cycle 1: 0.0% of what was proposed is hard: the target has little left to learn from these poses, or is sure of nothing yet",
    ]
    backwards = {arm: run[0].result.cycles[-1].target_backwards for arm, run in read_runs(tmp_path / "out").items()}
    assert backwards["mined"] > 0


def test_photographs_without_test_images_get_some_of_their_own(monkeypatch, tmp_path):
    from terse.proof.prove import _settled

    monkeypatch.setenv("TERSE_DATA", str(tmp_path))
    assert load_recipe("coco-person-small").test is not None
    without = load_recipe("coco-person-small", ["test=null"])
    assert _settled(without, None).test == 0.2
    assert _settled(load_recipe("quickstart"), None).test is None  # whose data brings its own


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            {"arms": ["none", "lernd"]},
            "arms: expected some of context, cut_paste_learn, learned, mined, none, random, got 'lernd'; "
            "did you mean 'learned'?",
        ),
        (
            {"arms": ["none"]},
            "arms: expected two or more, got none; for example none,random,learned",
        ),
        (
            {"arms": ["none", "none"]},
            "arms: expected two or more, got none; for example none,random,learned",
        ),
        (
            {"arms": []},
            "arms: expected two or more, got none; for example none,random,learned",
        ),
        ({"seeds": 0}, "seeds: expected 1 or more, got 0; 5 give a verdict"),
        (
            {"overrides": ["cycles=1"]},
            "overrides: expected none beside a Recipe object, got some; use recipe.model_copy",
        ),
    ],
)
def test_refused_settings_leave_nothing_behind(recipe, tmp_path, choice, message):
    with pytest.raises(RecipeError) as caught:
        prove(recipe, out=tmp_path / "out", **choice)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_refused_folders(proof, recipe, data, tmp_path):
    folder, _ = proof
    held, plain, new = tmp_path / "held", tmp_path / "plain", tmp_path / "new"
    held.mkdir()
    (held / "recipe.yaml").write_text("a run's")
    plain.mkdir()
    (plain / "notes.txt").write_text("mine")
    other = recipe.model_copy(update={"cycles": 1})
    cases = [
        (
            folder,
            recipe,
            False,
            "expected a new folder, got one that holds a proof; add `resume` to go on with it",
        ),
        (
            folder,
            other,
            True,
            "expected the recipe that the proof began with, got another cycles: 1 instead of 2",
        ),
        (
            held,
            recipe,
            False,
            "expected a new folder, got one that holds another kind of run; give `out` another",
        ),
        (
            plain,
            recipe,
            False,
            "expected a new or empty folder, got one with files in it; give `out` another",
        ),
        (
            new,
            recipe,
            True,
            "expected a proof to go on with, got none; leave `resume` out to begin one",
        ),
    ]
    for out, settings, resume, message in cases:
        with pytest.raises(RunError) as caught:
            prove(settings, out=out, arms=ARMS, seeds=2, data=data, resume=resume)
        assert str(caught.value) == f"{out}: {message}"


@pytest.mark.slow
def test_a_detector(tmp_path, monkeypatch):
    monkeypatch.setattr("terse.proof.audit.audit_pastes", functools.partial(audit_pastes, scenes=32, steps=4))
    (tmp_path / "shapes.yaml").write_text(
        """
base: detector
cycles: 1
canvas_px: 64
data: {kind: shapes, canvas_px: 64, train: 12, val: 4, test: 6, backgrounds: 6}
target: {kind: user, factory: "one_box:OneBox"}
artefacts: {count: 0}
pretrain: {epochs: 1, batch_size: 6, optimizer: {name: sgd, lr: 0.01}}
synthesis: {kind: random, batch_size: 10}
pool: {per_cycle: 6, candidates: 40}
fine_tune: {epochs: 1, batch_size: 6, real_per_synthetic: 1}
"""
    )
    result = prove(
        tmp_path / "shapes.yaml",
        out=tmp_path / "out",
        arms=["none", "cut_paste_learn"],
        seeds=1,
        workers=1,
        trust=True,
    )
    assert (result["primary"], result["treatment"]) == ("ap50", "cut_paste_learn")
    assert result["reason"].startswith("one seed gives no verdict: cut_paste_learn over none, AP50 ")
    run = read_runs(tmp_path / "out")["cut_paste_learn"][0]
    assert run.result.cycles[-1].samples == 6
    assert len(run.measured.hardness) == 6
    assert len(run.measured.units) == 6
    assert all(0 <= value <= 1 for value in run.measured.hardness)
    audit = json.loads((tmp_path / "out" / "shortcut.json").read_text())
    assert list(audit["auc"]) == [blend + end for blend in BLENDS for end in ("", " with patches")]
    assert result["shortcut"] == audit
    assert result["alarms"][-len(audit["warnings"]) :] == list(audit["warnings"])
    audited = json.loads((tmp_path / "out" / "coverage.json").read_text())
    assert list(audited) == ["cut_paste_learn"]
    assert audited["cut_paste_learn"]["0"]["images"] == 6
    page = proof_page(tmp_path / "out")
    shown = next(chart for chart in page.charts if chart.name == "shortcut").figure.data
    assert {trace.name: trace.x[0] for trace in shown} == pytest.approx(audit["auc"])
    assert [table.heading for table in page.tables[-2:]] == ["Coverage", "Shortcut audit"]


def test_alarms_of_the_arm_in_question_are_told():
    ends = {"start": {}, "end": {}}
    found = [
        RunResult.model_validate(
            {
                "primary": "accuracy",
                "metrics": ends,
                "cycles": [],
                "seconds": 0,
                "alarms": alarms,
                "alarm_cycles": cycles,
            }
        )
        for alarms, cycles in ((["of the start", "cycle 1: a", "cycle 2: b"], [0, 1, 2]), ([], []))
    ]
    runs = {"learned": {seed: ArmRun(result, Measured(units=[], hardness=[])) for seed, result in enumerate(found)}}
    assert _of_treatment(runs, "learned") == ["learned, seed 0: cycle 1: a (and 1 more)"]


def test_a_metric_that_is_no_number_is_told_with_its_arm_and_seed(proof):
    folder, _ = proof
    runs = read_runs(folder)
    broken = json.loads(runs["learned"][1].result.model_dump_json())
    broken["metrics"]["end"]["accuracy"] = float("inf")
    runs["learned"][1] = ArmRun(RunResult.model_validate(broken), runs["learned"][1].measured)
    with pytest.raises(RunError) as told:
        summary_of(runs, task("classification").primary)
    assert str(told.value) == (
        "learned, seed 1: expected a finite accuracy, got inf; look at the target's answers, or run the proof without this arm"
    )


def test_what_an_arm_proposes_is_judged_by_the_start_as_what_it_keeps(proof):
    """Random keeps what it proposes; the shares are counted again from the measurements."""
    folder, result = proof
    shares = result["hard_shares"]
    assert set(shares) == {"random", "learned"}
    for arm, one in shares.items():
        assert [len(one["proposes"]), len(one["keeps"])] == [6, 6]  # three sets of two seeds
        first = json.loads((folder / "arms" / arm / "seed-0" / "measured.json").read_text())
        assert [len(of) for of in first["proposed"]] == [128] * 3
        assert one["proposes"][0] == sum(value > 0.5 for value in first["proposed"][0]) / 128
    assert np.mean(shares["random"]["proposes"]) == pytest.approx(np.mean(shares["random"]["keeps"]), abs=0.15)
    again = Measured.model_validate_json((folder / "arms" / "random" / "seed-0" / "measured.json").read_text())
    assert len({tuple(of) for of in again.proposed}) == 3


def test_what_a_critic_proposes_is_judged_in_bfloat16_too(recipe, data, tmp_path):
    critic = "synthesis.critic={feature_steps: 3, first_fit: 24, batch_size: 16}"
    changes = ["runtime.precision=bfloat16", "synthesis.feedback=critic", critic, "cycles=1", "fine_tune.epochs=1"]
    own = load_recipe("quickstart", [*TINY[:5], *changes, "pool.per_cycle=40", "hardness.above=-2"])
    prove(own, out=tmp_path / "out", arms=["mined", "learned"], seeds=1, data=data, audit=False)
    learned = read_runs(tmp_path / "out")["learned"][0]
    assert len(learned.measured.proposed) == 3
    assert learned.result.cycles[-1].rank_correlation is not None  # there was a critic
