"""A run's figures in TensorBoard and MLflow, by one observer; extra `tracking`.

Both are told the same: each number of a step as `PHASE/NAME` against the steps of that phase, each number of a cycle as
`cycle/NAME` against the cycle, 0 the start; the recipe as text.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from terse.errors import MissingExtra, RunError
from terse.progress import Interrupted, Observer, heard_by

__all__ = ["Tracker", "tracked"]

_EVERY_SECONDS = 2.0  # figures wait so long: a write for each step would slow the run
_METRICS = "metrics.jsonl"
_MOST_A_BATCH = 500  # MLflow takes 1,000
_AT_FIRST = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}  # its own wait four minutes


Figure = tuple[str, float, int, float]
"""Name, value, step and the seconds since the epoch when it was measured."""


class Sink(Protocol):
    """Where figures go."""

    def write(self, figures: Sequence[Figure]) -> None:
        """Names, values, steps and the seconds since the epoch when each was measured."""
        ...

    def close(self, status: str) -> None:
        """The run ended: FINISHED, KILLED or FAILED."""
        ...


class Tracker(Observer):
    """Passes a run's figures to sinks and everything to the observer that was there before.

    Args:
        inner: who watched so far, and says whether the user wants to stop.
        make: opens the sinks when the first phase begins: by then the folder is the run's.
        folder: of the run. Where it is resumed, steps are counted on from its `metrics.jsonl`, and the sinks are told what
            it holds: what waited here ended with a process that was killed.
    """

    def __init__(self, inner: Observer, make: Callable[[], Sequence[Sink]], folder: Path) -> None:
        self.inner, self._make, self._folder = inner, make, folder
        self._sinks: list[Sink] = []
        self._began = False
        self._steps: Counter[str] = Counter()
        self._phase = "start"
        self._waiting: list[Figure] = []
        self._wrote = time.monotonic()

    def phase(self, cycle: int, phase: str, steps: int, done: int) -> None:
        """A phase begins; the first one finds out how many steps there were before."""
        if not self._began:
            self._steps, logged = _logged(self._folder / _METRICS)
            self._sinks, self._began = list(self._make()), True
            self._tell(lambda sink: sink.write(logged))
        self._phase = phase
        self.inner.phase(cycle, phase, steps, done)

    def step(self, **numbers: float) -> None:
        """A step's figures."""
        self._steps[self._phase] += 1
        self._add(self._phase, numbers, self._steps[self._phase])
        if time.monotonic() - self._wrote >= _EVERY_SECONDS:
            self.flush()
        self.inner.step(**numbers)

    def cycle(self, row: Mapping[str, Any]) -> None:
        """A cycle's figures."""
        self._add("cycle", row, int(row["cycle"]))
        self.flush()
        self.inner.cycle(row)

    def advance(self, what: str, done: int, total: int) -> None:
        """Nothing is tracked of a count."""
        self.inner.advance(what, done, total)

    def say(self, message: str) -> None:
        """Nothing is tracked of a sentence."""
        self.inner.say(message)

    def done(self) -> None:
        """The job ended."""
        self.inner.done()

    def stop(self) -> bool:
        """Whether the user wants the job to stop."""
        return self.inner.stop()

    def of(self, job: str) -> Observer:
        """Jobs of a job are not tracked."""
        return self.inner.of(job)

    def flush(self) -> None:
        """Pass on what waits."""
        waiting, self._waiting, self._wrote = self._waiting, [], time.monotonic()
        if waiting:
            self._tell(lambda sink: sink.write(waiting))

    def close(self, status: str) -> None:
        """Pass on what waits, and end."""
        self.flush()
        self._tell(lambda sink: sink.close(status))

    def _tell(self, what: Callable[[Sink], None]) -> None:
        """A sink that refuses under way is left out from then on: the run goes on."""
        for sink in tuple(self._sinks):
            try:
                what(sink)
            except RunError as error:
                self._sinks.remove(sink)
                self.inner.say(f"{error}; the run goes on without")

    def _add(self, group: str, numbers: Mapping[str, Any], step: int) -> None:
        self._waiting += _figures(group, numbers, step, time.time())


@contextmanager
def tracked(
    kinds: Sequence[str], name: str, recipe: str, folder: Path | None, observer: Observer | None
) -> Iterator[Observer | None]:
    """The observer of a run, which tells these kinds as well; the observer as it is where there are none.

    Args:
        kinds: tensorboard, mlflow.
        name: of the recipe: MLflow's experiment.
        recipe: its text.
        folder: of the run; its name is the MLflow run's.
        observer: who watches already.

    Raises:
        MissingExtra: a package is not installed.
        RunError: the run is kept in memory, or MLflow's server or store refuses.
    """
    if not kinds:
        yield observer
        return
    if folder is None:
        raise RunError("runtime.track: expected a run with a folder, got one kept in memory; give it `out`")
    for kind in kinds:
        if find_spec(kind) is None:
            raise MissingExtra(f"runtime.track: {kind}", "tracking")
    made: dict[str, type[_TensorBoard | _MLflow]] = {"tensorboard": _TensorBoard, "mlflow": _MLflow}
    tracker = Tracker(heard_by(observer), lambda: [made[kind](name, recipe, folder) for kind in kinds], folder)
    status = "FAILED"
    try:
        yield tracker
        status = "FINISHED"
    except (Interrupted, KeyboardInterrupt):
        status = "KILLED"
        raise
    finally:
        tracker.close(status)


def _untold(figures: Sequence[Figure], told: Mapping[str, int]) -> list[Figure]:
    """Those of later steps than were told before: a resumed run goes on from its last state, and repeats what came after it."""
    return [figure for figure in figures if figure[2] > told.get(figure[0], -1)]


class _TensorBoard:
    """Event files in the run's folder, `tensorboard/`. A run that is resumed tells nothing that they hold."""

    def __init__(self, name: str, recipe: str, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own imports
            from torch.utils import tensorboard
        library: Any = tensorboard
        self._told = (
            f"TensorBoard's files to be written in {folder / 'tensorboard'}",
            "make room there, or leave tensorboard out",
        )
        with _refusals(*self._told):
            self._known, texts = _in_event_files(folder / "tensorboard")
            self._writer = library.SummaryWriter(str(folder / "tensorboard"))
            if not texts:
                self._writer.add_text("recipe", "".join(f"    {line}\n" for line in recipe.splitlines()))
            self._writer.flush()

    def write(self, figures: Sequence[Figure]) -> None:
        with _refusals(*self._told):
            for name, value, step, when in _untold(figures, self._known):
                self._writer.add_scalar(name, value, step, walltime=when)
            self._writer.flush()

    def close(self, status: str) -> None:
        with _refusals(*self._told):
            self._writer.close()


class _MLflow:
    """A run of the experiment that is named after the recipe, where MLFLOW_TRACKING_URI says, else in `mlflow.db` beside the run.

    A run that is resumed goes on with the MLflow run of its folder.
    """

    def __init__(self, name: str, recipe: str, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow
            import mlflow.entities
        library: Any = mlflow
        self._metric = library.entities.Metric
        beside, told = folder.resolve().parent, os.environ.get("MLFLOW_TRACKING_URI")
        where = told or f"sqlite:///{beside / 'mlflow.db'}"
        files = None if told else (beside / "mlflow-files").as_uri()
        self._told = f"MLflow at {where} to take the run", "set MLFLOW_TRACKING_URI, or leave mlflow out"
        with _environment(_AT_FIRST), _refusals(*self._told):
            self._client = library.MlflowClient(tracking_uri=where)
            found = self._client.get_experiment_by_name(name)
            experiment = found.experiment_id if found is not None else self._client.create_experiment(name, files)
            tag = {"terse.folder": str(folder.resolve())}
            before = [
                one.info.run_id
                for one in self._client.search_runs([experiment])
                if one.data.tags.items() >= tag.items() and one.info.status != "FINISHED"
            ]
            self._known: dict[str, int] = {}
            if before and (folder / _METRICS).is_file():
                self._run = before[0]
                names = self._client.get_run(self._run).data.metrics
                self._known = {
                    name: max(one.step for one in self._client.get_metric_history(self._run, name)) for name in names
                }
                self._client.update_run(self._run, status="RUNNING")
            else:
                self._run = self._client.create_run(experiment, tags=tag, run_name=folder.name).info.run_id
                self._client.log_text(self._run, recipe, "recipe.yaml")

    def write(self, figures: Sequence[Figure]) -> None:
        untold = _untold(figures, self._known)
        made = [self._metric(name, value, int(1000 * when), step) for name, value, step, when in untold]
        with _refusals(*self._told):
            for first in range(0, len(made), _MOST_A_BATCH):
                self._client.log_batch(self._run, metrics=made[first : first + _MOST_A_BATCH])

    def close(self, status: str) -> None:
        with _refusals(*self._told):
            self._client.set_terminated(self._run, status=status)


@contextmanager
def _refusals(expected: str, instead: str) -> Iterator[None]:
    """What a sink's store refuses becomes a sentence, of the innermost reason that its system gave."""
    loud = logging.getLogger("mlflow")  # tells of what it raises as well, by a traceback
    level = loud.level
    loud.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        reasons = [one for one in _causes(error) if isinstance(one, OSError | sqlite3.Error)]
        reason = reasons[-1] if reasons else error
        said = str(reason).strip().splitlines()
        raise RunError(
            f"runtime.track: expected {expected}, got: {said[0] if said else type(reason).__name__}; {instead}"
        ) from None
    finally:
        loud.setLevel(level)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


@contextmanager
def _environment(defaults: Mapping[str, str]) -> Iterator[None]:
    """These variables where the user sets no others."""
    added = [name for name in defaults if name not in os.environ]
    os.environ.update({name: defaults[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _in_event_files(folder: Path) -> tuple[dict[str, int], list[str]]:
    """The last step of each figure in TensorBoard's files of a folder, and the names of the texts."""
    if not folder.is_dir():
        return {}, []
    from tensorboard.backend.event_processing.event_accumulator import SCALARS, TENSORS, EventAccumulator

    found: Any = EventAccumulator(str(folder), size_guidance={SCALARS: 1, TENSORS: 1}).Reload()  # 1 is the last
    tags = found.Tags()
    return {name: found.Scalars(name)[-1].step for name in tags[SCALARS]}, tags[TENSORS]


def _figures(group: str, numbers: Mapping[str, Any], step: int, when: float) -> list[Figure]:
    """What of these are numbers, beside those that say where the run was."""
    return [
        (f"{group}/{name}", float(value), step, when)
        for name, value in numbers.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("cycle", "step")
    ]


def _logged(path: Path) -> tuple[Counter[str], list[Figure]]:
    """How many steps of each phase the run's log holds, and its figures, which were there when it was last written.

    Those of a cycle stand in a line of step 0.
    """
    steps: Counter[str] = Counter()
    figures: list[Figure] = []
    with suppress(OSError):
        when = path.stat().st_mtime
        for line in path.read_text("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                one = json.loads(line)
                cycle, phase, step = int(one["cycle"]), str(one["phase"]), int(one["step"])
                steps[phase] += step > 0
                if not step and not cycle:  # the start had no harvest
                    one = {name: value for name, value in one.items() if name not in ("hard_rate", "candidates")}
                figures += _figures(phase, one, steps[phase], when) if step else _figures("cycle", one, cycle, when)
    return steps, figures
