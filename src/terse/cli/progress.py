"""What a user sees of a run under way: a bar at a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from terse.cli.answers import printable
from terse.cli.signals import answering
from terse.progress import Observer

__all__ = ["SOON_SECONDS", "Lines", "RunProgress", "counting", "stoppable", "watching"]

_QUIET_SECONDS = 30.0
SOON_SECONDS = 2.0
"""After which a count that has no bar says where it is."""
# Share of a cycle's time, roughly; only the bar's evenness depends on it.
_SHARE = {"synthesizer": 0.5, "harvest": 0.1, "target": 0.38, "evaluate": 0.02}
_BEFORE = {"synthesizer": 0.0, "harvest": 0.5, "target": 0.6, "evaluate": 0.98}


class Lines(Observer):
    """Lines on stderr that stay, above the bars where rich draws some."""

    stopping = 0
    """The number of the signal that asked the job to stop; 0 where none did."""

    def __init__(self, bars: Any = None, opening: str = "") -> None:
        self._bars = bars
        self._opening = opening
        self._tasks: dict[str, Any] = {}
        self._due: dict[str, float] = {}

    def advance(self, what: str, done: int, total: int) -> None:
        """Move the bar of this count; without bars a line after two seconds, and one every half minute from then on."""
        if self._bars is not None:
            if what not in self._tasks:
                self._tasks[what] = self._bars.add_task(what, total=total, figures="")
            figures = f"{done:,}/{total:,}"
            self._bars.update(self._tasks[what], completed=done, total=total, figures=figures, visible=done < total)
            return
        now = time.monotonic()
        if now >= self._due.setdefault(what, now + SOON_SECONDS) and done < total:
            self._due[what] = now + _QUIET_SECONDS
            self.say(f"{what} {done:,}/{total:,}")

    def begin(self) -> None:
        """Say what is done where, once: the job has begun, and was not refused."""
        opening, self._opening = self._opening, ""
        if opening:
            self.say(opening)

    def say(self, message: str) -> None:
        """A line that stays."""
        self.begin()
        if self._bars is None:
            print(printable(message), file=sys.stderr, flush=True)
        else:
            self._bars.console.print(printable(message), highlight=False, markup=False)

    def stop(self) -> bool:
        """Whether the user asked to stop."""
        return bool(self.stopping)

    @property
    def exit_status(self) -> int:
        """Of a command that a signal stopped: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.stopping or signal.SIGINT)


class RunProgress(Lines):
    """Counts a run's steps, guesses the time left, and knows whether the user asked to stop."""

    def __init__(self, cycles: int, metrics: Sequence[str] = (), bars: Any = None, opening: str = "") -> None:
        super().__init__(bars, opening)
        self.cycles = cycles
        self.metrics = metrics
        self.numbers: dict[str, float] = {}
        self._spoke = self._phase_began = time.monotonic()
        self._phase_at = 0
        self._began: float | None = None
        self._begun_at = 0.0
        self.at = (0, "start", 0, 0)

    def phase(self, cycle: int, phase: str, steps: int, done: int) -> None:
        """A phase begins."""
        self.begin()
        self.at = (cycle, phase, steps, done)
        self._phase_began, self._phase_at = time.monotonic(), done
        if cycle >= 1 and self._began is None:
            self._began, self._begun_at = time.monotonic(), self.completed
        self.show()

    def step(self, **numbers: float) -> None:
        """A step ended."""
        cycle, phase, steps, done = self.at
        self.at = (cycle, phase, steps, done + 1)
        self.numbers.update(numbers)
        self.show()

    def cycle(self, row: Mapping[str, Any]) -> None:
        """A cycle ended."""
        known = (*self.metrics, "hard_rate", "samples")
        self.numbers.update({key: row[key] for key in known if key in row})
        done = f"cycle {row['cycle']}/{self.cycles}" if row["cycle"] else "start"
        self.say(f"{done}: {self.figures('samples')}{self.left()}")

    def say(self, message: str) -> None:
        """A line that stays."""
        self._spoke = time.monotonic()
        super().say(message)

    def show(self) -> None:
        """A line now and then, so that a log of a long phase does not stand still."""
        if time.monotonic() - self._spoke >= _QUIET_SECONDS:
            self.say(", ".join(filter(None, (self.place(), self.figures("loss")))) + self.left())

    def place(self) -> str:
        """Where the run is: `cycle 2/5 target 30/120`."""
        cycle, phase, steps, done = self.at
        name = f"cycle {cycle}/{self.cycles}" if cycle else "start"
        return f"{name} {phase.replace('_', ' ')}" + (f" {done:,}/{steps:,}" if steps else "")

    @property
    def completed(self) -> float:
        """Cycles done, with the fraction of the one under way."""
        cycle, phase, steps, done = self.at
        if cycle < 1:
            return 0.0
        part = min(1.0, done / steps) if steps else 0.0
        return cycle - 1 + _BEFORE.get(phase, 0.0) + _SHARE.get(phase, 0.0) * part

    def figures(self, *extra: str) -> str:
        """The numbers that matter, in words."""
        wanted = (*self.metrics, "hard_rate", *extra)
        shown = [f"{key.replace('_', ' ')} {_number(key, self.numbers[key])}" for key in wanted if key in self.numbers]
        return ", ".join(shown)

    def left(self) -> str:
        """`, 0:42 left`, from the pace so far; later cycles have larger pools, so they count for more."""
        cycle, _, steps, done = self.at
        if cycle < 1 and done > self._phase_at:  # pretraining says nothing of how long a cycle takes
            pace = (time.monotonic() - self._phase_began) / (done - self._phase_at)
            return f", {_clock(pace * (steps - done))} left of this phase" if steps > done else ""
        if self._began is None or self.completed <= self._begun_at or not self.cycles:
            return ""
        past = _weight(self.completed) - _weight(self._begun_at)
        rest = _weight(self.cycles) - _weight(self.completed)
        seconds = (time.monotonic() - self._began) * rest / max(past, 1e-9)
        return f", {_clock(seconds)} left" if seconds >= 0.5 else ""


class _Quiet(RunProgress):
    """Of a process that another one speaks for."""

    def say(self, message: str) -> None:
        """Print nothing."""


class _Bar(RunProgress):
    """The same with a bar."""

    def __init__(self, cycles: int, metrics: Sequence[str], bars: Any, opening: str) -> None:
        super().__init__(cycles, metrics, bars, opening)
        self._task = bars.add_task("starting", total=max(1, cycles), figures="")

    def show(self) -> None:
        """Move the bar."""
        self._bars.update(
            self._task, completed=self.completed, description=self.place(), figures=self.figures() + self.left()
        )


@contextmanager
def watching(cycles: int, metrics: Sequence[str], *, quiet: bool = False, opening: str = "") -> Iterator[RunProgress]:
    """A watcher for one run that shows these metrics of it; Ctrl-C, SIGTERM and SIGHUP ask it to stop at the next step, a second Ctrl-C at once.

    A quiet one shows nothing. The opening is its first line, once the run has begun.
    """
    with ExitStack() as stack:
        watcher = _Quiet(cycles, metrics) if quiet else RunProgress(cycles, metrics, opening=opening)
        if sys.stderr.isatty() and not quiet:
            from rich.progress import BarColumn, SpinnerColumn, TextColumn

            figures = TextColumn("{task.fields[figures]}")
            bars = _bars(SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), figures)
            watcher = _Bar(cycles, metrics, stack.enter_context(bars), opening)
        stack.enter_context(stoppable(watcher))
        yield watcher


@contextmanager
def stoppable(watcher: Lines) -> Iterator[None]:
    """Ctrl-C, SIGTERM and SIGHUP ask the job to stop at its next step, a second Ctrl-C at once."""

    def ask(number: int, frame: object) -> None:
        if watcher.stopping:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return  # who ends a session says it to every process, often twice: the state is being written
        watcher.stopping = number
        watcher.say("stopping after this step; press Ctrl-C again to stop at once")

    with answering(ask):
        yield


@contextmanager
def counting() -> Iterator[Lines]:
    """Watches a job without cycles: a bar for each thing that is counted, lines away from a terminal."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _bars(*columns) as bars:
        yield Lines(bars)


def _bars(*columns: Any) -> Any:
    """Rich's progress display on stderr; it vanishes when the job ends."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(*columns, console=Console(stderr=True), transient=True)


def _weight(cycles: float) -> float:
    """Work up to here: the pool, and with it the target's phase, grows with every cycle."""
    return cycles + 0.1 * cycles * cycles


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _number(key: str, value: float) -> str:
    return f"{value:,.0f}" if key == "samples" else f"{value:.3f}"
