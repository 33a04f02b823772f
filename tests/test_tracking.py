"""A run's figures in TensorBoard's event files and MLflow's store, read by their own readers."""

import json
import os
import shutil
import warnings
from collections import Counter

import pytest

import terse
from killing import Killed, KillIn
from terse import tracking
from terse.errors import MissingExtra, RunError
from terse.progress import Interrupted, Observer
from terse.tracking import Tracker, tracked


class Kept(Observer):
    """Everything that it is told."""

    def __init__(self, stops=False):
        self.heard, self.stops = [], stops

    def phase(self, cycle, phase, steps, done):
        self.heard.append((cycle, phase))

    def step(self, **numbers):
        self.heard.append(numbers)

    def say(self, message):
        self.heard.append(message)

    def stop(self):
        return self.stops


class Sink:
    def __init__(self):
        self.figures, self.status = [], None

    def write(self, figures):
        self.figures += [(name, value, step) for name, value, step, _ in figures]

    def close(self, status):
        self.status = status


def test_steps_count_by_phase_and_cycles_by_number(tmp_path):
    inner, sink = Kept(), Sink()
    tracker = Tracker(inner, lambda: [sink], tmp_path)
    for cycle in (1, 2):
        tracker.phase(cycle, "target", 2, 0)
        for loss in (0.5, 0.25):
            tracker.step(loss=loss)
        tracker.cycle({"cycle": cycle, "accuracy": 0.1 * cycle, "by_class": {"a": 1}, "name": "x", "sure": True})
    tracker.close("FINISHED")
    assert sink.figures == [
        ("target/loss", 0.5, 1),
        ("target/loss", 0.25, 2),
        ("cycle/accuracy", 0.1, 1),
        ("target/loss", 0.5, 3),
        ("target/loss", 0.25, 4),
        ("cycle/accuracy", 0.2, 2),
    ]
    assert sink.status == "FINISHED"
    assert inner.heard.count({"loss": 0.5}) == 2


def test_a_resumed_run_counts_on_from_its_log(tmp_path):
    lines = [{"cycle": 1, "phase": "target", "step": step} for step in (1, 2, 3)]
    lines += [{"cycle": 1, "phase": "evaluate", "step": 0}, {"cycle": 2, "phase": "target", "step": 1}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cyc')
    sink = Sink()
    tracker = Tracker(Observer(), lambda: [sink], tmp_path)
    tracker.phase(2, "target", 9, 1)
    tracker.step(loss=1.0)
    tracker.close("FINISHED")
    assert sink.figures == [("target/loss", 1.0, 5)]


def test_what_the_log_alone_holds_is_told_when_a_run_goes_on(tmp_path):
    lines = [
        {"cycle": 1, "phase": "target", "step": 1, "loss": 0.5, "rate": None},  # it was no number
        {"cycle": 1, "phase": "target", "step": 2, "loss": 0.25},
        {"cycle": 1, "phase": "evaluate", "step": 0, "accuracy": 0.75},
        {"cycle": 2, "phase": "target", "step": 1, "loss": 0.125},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    sink = Sink()
    tracker = Tracker(Observer(), lambda: [sink], tmp_path)
    tracker.phase(2, "target", 9, 1)
    assert sink.figures == [
        ("target/loss", 0.5, 1),
        ("target/loss", 0.25, 2),
        ("cycle/accuracy", 0.75, 1),
        ("target/loss", 0.125, 3),
    ]


def test_the_observer_that_was_there_still_stops_the_run(tmp_path):
    tracker = Tracker(Kept(stops=True), list, tmp_path)
    assert tracker.stop()
    assert not Tracker(Observer(), list, tmp_path).stop()


class Broken(Sink):
    def write(self, figures):
        raise RunError("the server is gone")


def test_a_sink_that_breaks_under_way_is_left_out_and_said_once(tmp_path):
    inner, sink = Kept(), Sink()
    tracker = Tracker(inner, lambda: [Broken(), sink], tmp_path)
    tracker.phase(1, "target", 2, 0)
    for cycle in (1, 2):
        tracker.cycle({"cycle": cycle, "accuracy": 0.5})
    tracker.close("FINISHED")
    assert [line for line in inner.heard if isinstance(line, str)] == ["the server is gone; the run goes on without"]
    assert len(sink.figures) == 2
    assert sink.status == "FINISHED"


@pytest.mark.parametrize("kind", ["tensorboard", "mlflow"])
def test_a_missing_package_gives_its_install_line(kind, monkeypatch, tmp_path, small):
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as raised:
        terse.train("quickstart", [*small, f"runtime.track=[{kind}]"], out=tmp_path / "run")
    assert str(raised.value) == (
        f"runtime.track: {kind}: expected the extra 'tracking' to be installed, got no such package; "
        'run: pip install "terse-synth[tracking]"'
    )
    assert not (tmp_path / "run").exists()


def test_a_run_in_memory_cannot_be_tracked():
    with pytest.raises(RunError) as raised, tracked(["mlflow"], "x", "", None, None):
        pass
    assert str(raised.value) == "runtime.track: expected a run with a folder, got one kept in memory; give it `out`"


def steps_in(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return Counter(line["phase"] for line in lines if line["step"])


class StopsAt(Observer):
    """Asks to stop in the second cycle's target phase."""

    reached = False

    def phase(self, cycle, phase, steps, done):
        self.reached = (cycle, phase) == (2, "target")

    def stop(self):
        return self.reached


def test_tensorboard_reads_a_run_that_was_stopped_and_resumed(tmp_path, small):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings = [*small, "runtime.track=[tensorboard]"]
    with pytest.raises(Interrupted):
        terse.train("quickstart", settings, out=tmp_path / "run", observer=StopsAt())
    result = terse.train("quickstart", settings, out=tmp_path / "run", resume=True)
    found = events.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    accuracy = {event.step: event.value for event in found.Scalars("cycle/accuracy")}
    assert accuracy == pytest.approx(
        {0: result["metrics"]["start"]["accuracy"], **{k: row["accuracy"] for k, row in enumerate(result["cycles"], 1)}}
    )
    steps = [event.step for event in found.Scalars("target/loss")]
    assert steps == list(range(1, steps_in(tmp_path / "run")["target"] + 1))
    (recipe,) = found.Tensors("recipe/text_summary")[-1].tensor_proto.string_val
    assert b"track:" in recipe


def killed_and_resumed(out, settings):
    """A run that ends without a word between two states, and goes on; how many steps it then has."""
    with pytest.raises(Killed):
        terse.train("quickstart", settings, out=out, observer=KillIn(2, "target", 5))
    terse.train("quickstart", settings, out=out, resume=True)
    return steps_in(out)["target"]


def test_tensorboard_is_told_no_step_twice(tmp_path, small):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    steps = killed_and_resumed(tmp_path / "run", [*small, "runtime.track=[tensorboard]"])
    found = events.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    assert [event.step for event in found.Scalars("target/loss")] == list(range(1, steps + 1))
    assert [event.step for event in found.Scalars("cycle/accuracy")] == [0, 1, 2]
    assert len(found.Tensors("recipe/text_summary")) == 1


def test_tensorboard_is_told_what_a_kill_took_from_it(tmp_path, small, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    settings, flush = [*small, "runtime.track=[tensorboard]"], Tracker.flush
    monkeypatch.setattr(Tracker, "flush", lambda self: None)  # what waits is lost with the process
    with pytest.raises(Killed):
        terse.train("quickstart", settings, out=tmp_path / "run", observer=KillIn(2, "target", 5))
    monkeypatch.setattr(Tracker, "flush", flush)
    terse.train("quickstart", settings, out=tmp_path / "run", resume=True)
    found = events.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    found.Reload()
    steps = steps_in(tmp_path / "run")
    assert [event.step for event in found.Scalars("target/loss")] == list(range(1, steps["target"] + 1))
    assert [event.step for event in found.Scalars("pretrain/loss")] == list(range(1, steps["pretrain"] + 1))
    assert [event.step for event in found.Scalars("cycle/accuracy")] == [0, 1, 2]


@pytest.mark.filterwarnings("ignore")  # of MLflow's own readers
def test_mlflow_is_told_no_step_twice(tmp_path, monkeypatch, small):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = pytest.importorskip("mlflow")
    where = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    steps = killed_and_resumed(tmp_path / "run", [*small, "runtime.track=[mlflow]"])
    client = mlflow.MlflowClient(tracking_uri=where)
    (experiment,) = [one for one in client.search_experiments() if one.name == "quickstart"]
    (run,) = client.search_runs([experiment.experiment_id])
    for name, wanted in (("target/loss", range(1, steps + 1)), ("cycle/accuracy", range(3))):
        assert sorted(one.step for one in client.get_metric_history(run.info.run_id, name)) == list(wanted)


def test_a_folder_that_tensorboard_cannot_write_is_one_sentence(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(RunError) as raised, tracked(["tensorboard"], "x", "", tmp_path, None) as tracker:
        tracker.phase(1, "target", 1, 0)
    assert str(raised.value) == (
        f"runtime.track: expected TensorBoard's files to be written in {tmp_path}/tensorboard, got: [Errno 17] File exists: "
        f"'{tmp_path}/tensorboard'; make room there, or leave tensorboard out"
    )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_run_goes_on_where_tensorboards_files_can_no_longer_be_written(tmp_path):
    pytest.importorskip("tensorboard")
    inner = Kept()
    with tracked(["tensorboard"], "x", "", tmp_path, inner) as tracker:
        tracker.phase(1, "target", 2, 0)
        shutil.rmtree(tmp_path / "tensorboard")
        (tmp_path / "tensorboard").write_text("")
        for cycle in (1, 2):
            tracker.cycle({"cycle": cycle, "accuracy": 0.5})
    (said,) = [line for line in inner.heard if isinstance(line, str)]
    assert said.startswith(
        f"runtime.track: expected TensorBoard's files to be written in {tmp_path}/tensorboard, got: [Errno"
    )
    assert said.endswith("; make room there, or leave tensorboard out; the run goes on without")


def mlflow_run(tmp_path, monkeypatch, small, where):
    """The MLflow run, and the metrics of `cycle/accuracy`, of a run that was stopped and resumed."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow = pytest.importorskip("mlflow")
    settings = [*small, "runtime.track=[mlflow]"]
    with pytest.raises(Interrupted):
        terse.train("quickstart", settings, out=tmp_path / "run", observer=StopsAt())
    client = mlflow.MlflowClient(tracking_uri=where)
    (experiment,) = [one for one in client.search_experiments() if one.name == "quickstart"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    result = terse.train("quickstart", settings, out=tmp_path / "run", resume=True)
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    accuracy = {one.step: one.value for one in client.get_metric_history(run.info.run_id, "cycle/accuracy")}
    assert accuracy[2] == pytest.approx(result["cycles"][1]["accuracy"])
    assert sorted(accuracy) == [0, 1, 2]
    losses = client.get_metric_history(run.info.run_id, "target/loss")
    assert sorted(one.step for one in losses) == list(range(1, steps_in(tmp_path / "run")["target"] + 1))


@pytest.mark.filterwarnings("ignore")  # of MLflow's own readers
def test_mlflow_reads_a_run_that_was_stopped_and_resumed(tmp_path, monkeypatch, small):
    where = (tmp_path / "store").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a tenth of the time that a new database takes
    monkeypatch.setenv("MLFLOW_TRACKING_URI", where)
    mlflow_run(tmp_path, monkeypatch, small, where)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_without_a_server_mlflow_has_a_database_beside_the_run(tmp_path, monkeypatch, small):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    mlflow_run(tmp_path, monkeypatch, small, f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert (tmp_path / "mlflow-files").is_dir()


@pytest.mark.filterwarnings("ignore")
def test_a_store_that_refuses_is_one_sentence(tmp_path, monkeypatch, small):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://x")
    with pytest.raises(
        RunError, match=r"^runtime\.track: expected MLflow at nonsense://x to take the run, got: "
    ) as raised:
        terse.train("quickstart", [*small, "cycles=0", "runtime.track=[mlflow]"], out=tmp_path / "run")
    assert str(raised.value).endswith("; set MLFLOW_TRACKING_URI, or leave mlflow out")
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")
def test_a_server_that_is_gone_is_not_waited_for_and_named_by_its_reason(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    waits = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
    for name in waits:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://gone:1")
    seen = []

    def client(tracking_uri):
        seen.extend(os.environ[name] for name in waits)
        try:
            raise ConnectionRefusedError(111, "Connection refused")
        except OSError:
            raise ValueError("API request failed with exception HTTPConnectionPool") from None

    monkeypatch.setattr(mlflow, "MlflowClient", client)
    with pytest.raises(RunError) as raised, tracked(["mlflow"], "x", "", tmp_path, None) as tracker:
        tracker.phase(1, "target", 1, 0)
    assert str(raised.value) == (
        "runtime.track: expected MLflow at http://gone:1 to take the run, got: [Errno 111] Connection refused; "
        "set MLFLOW_TRACKING_URI, or leave mlflow out"
    )
    assert seen == ["1", "3"]
    assert waits[0] not in os.environ
