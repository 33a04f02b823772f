"""Shards over executors: the same results for any number of workers, failures in their own words, nothing left behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from terse.errors import DataError, RunError
from terse.progress import Interrupted, Observer
from terse.registry import lookup
from terse.workers import InProcess, LocalProcesses, WorkersDied, local_executor, usable_cores

EXECUTORS = {"in process": InProcess(), "one worker": LocalProcesses(1), "two workers": LocalProcesses(2)}


def start_squares(observer):
    def square(n):
        observer.of(f"job {n}").say(f"squares {n}")
        return n * n

    return square


def start_troubled(trouble, folder, observer):
    def work(n):
        mark = Path(folder) / f"{n}.{os.getpid()}"
        mark.touch()
        if (n == 1 and trouble == "always") or (
            trouble == "once" and len(list(Path(folder).glob("1.*"))) == 1 and n == 1
        ):
            os.kill(os.getpid(), signal.SIGKILL)
        if n == 1 and trouble == "data":
            raise DataError("photo.jpg: expected an image, got none")
        if n == 1 and trouble == "disk":
            raise OSError(errno.ENOSPC, "No space left on device", "a/file")
        if n == 1 and trouble == "bug":
            raise ZeroDivisionError
        while trouble == "until stopped" and not observer.stop():
            time.sleep(0.01)
        if trouble == "until stopped":
            raise Interrupted
        while trouble == "forever":
            time.sleep(0.01)
        return n

    return work


class Heard(Observer):
    def __init__(self, stops=False):
        self.said, self.stops, self.job = [], stops, None

    def of(self, job):
        child = Heard()
        child.said, child.job = self.said, job
        return child

    def say(self, message):
        self.said.append((self.job, message))

    def stop(self):
        return self.stops


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=EXECUTORS)
def test_every_shard_has_its_result_and_its_observer(executor):
    heard = Heard()
    assert dict(executor.map(start_squares, range(5), heard)) == {n: n * n for n in range(5)}
    assert sorted(heard.said) == [(f"job {n}", f"squares {n}") for n in range(5)]
    assert list(executor.map(start_squares, [])) == []


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=EXECUTORS)
def test_a_shard_can_wait_for_the_result_of_another(executor):
    done = []

    def shards():
        yield 1
        while 1 not in done:
            yield None
        yield 2

    for shard, _ in executor.map(start_squares, shards()):
        done.append(shard)
    assert done == [1, 2]


def test_a_worker_that_dies_is_replaced(tmp_path):
    start = partial(start_troubled, "once", str(tmp_path))
    assert sorted(LocalProcesses(2).map(start, range(3))) == [(0, 0), (1, 1), (2, 2)]
    assert len(list(tmp_path.glob("1.*"))) == 2


def test_workers_that_always_die_end_the_map(tmp_path):
    with pytest.raises(WorkersDied) as caught:
        list(LocalProcesses(1).map(partial(start_troubled, "always", str(tmp_path)), range(3)))
    assert str(caught.value) == (
        "workers: expected workers to live, got 3 that died of signal SIGKILL at 1; "
        "SIGKILL is the system's, when memory runs out: use fewer workers or smaller images, then `resume`"
    )
    assert caught.value.shard == 1


def test_a_script_without_a_guard_is_told_of_it(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_workers import start_squares\n"
        "from terse.workers import LocalProcesses\n"
        "print(list(LocalProcesses(1).map(start_squares, [7])))\n",
        "utf-8",
    )
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "terse.workers.local.WorkersDied: workers: expected workers to live, got 3 that died of exit status 1 at 7; "
        'what they printed says why; often a script lacks `if __name__ == "__main__":` before what begins them'
    )


@pytest.mark.parametrize("executor", EXECUTORS.values(), ids=EXECUTORS)
def test_a_mistake_is_told_in_its_own_words(executor, tmp_path):
    with pytest.raises(DataError) as caught:
        list(executor.map(partial(start_troubled, "data", str(tmp_path)), range(3)))
    assert str(caught.value) == "photo.jpg: expected an image, got none"


def test_a_bug_comes_with_the_workers_traceback(tmp_path):
    with pytest.raises(RuntimeError, match=r"(?s)a worker failed at 1:\n.*ZeroDivisionError"):
        list(LocalProcesses(1).map(partial(start_troubled, "bug", str(tmp_path)), range(3)))


def test_what_the_machine_refuses_a_worker_is_a_sentence(tmp_path):
    with pytest.raises(RunError) as refused:
        list(LocalProcesses(1).map(partial(start_troubled, "disk", tmp_path), [1]))
    assert str(refused.value) == "a/file: expected to read or write it, got: No space left on device"


def test_a_process_that_cannot_be_begun_is_a_sentence(tmp_path):
    """The sockets of worker processes have paths of at most 108 letters."""
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    code = (
        "from terse.workers import LocalProcesses\n"
        "from terse.errors import RunError\n"
        "import operator\n"
        "try: list(LocalProcesses(1).map(operator.neg, [1]))\n"
        "except RunError as error: print(error)\n"
    )
    env = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=env)
    assert done.stdout == (
        "workers: expected to begin a process, whose sockets lie in TMPDIR, got: AF_UNIX path too long; let it name a "
        "folder with a short path and room, or let this process work alone (`workers` 0)\n"
    )


def test_an_observer_that_asks_to_stop_reaches_the_workers(tmp_path):
    executor = LocalProcesses(2, grace_seconds=600)
    with pytest.raises(Interrupted):
        list(executor.map(partial(start_troubled, "until stopped", str(tmp_path)), range(9), Heard(stops=True)))
    assert len(list(tmp_path.iterdir())) <= 2


def test_closing_early_leaves_no_process(tmp_path):
    results = LocalProcesses(2).map(start_squares, iter(range(1000)))
    next(results)
    results.close()


def test_a_worker_that_begins_as_its_parent_ends_says_nothing():
    code = (
        "import multiprocessing.popen_forkserver as begun, sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_workers import start_squares\n"
        "from terse.workers import LocalProcesses\n"
        "def interrupted(_): raise KeyboardInterrupt  # Ctrl-C as the worker's number is awaited\n"
        "begun.forkserver.read_signed = interrupted\n"
        "try: list(LocalProcesses(1).map(start_squares, [7]))\n"
        "except KeyboardInterrupt: pass"
    )
    words = [sys.executable, "-c", code, str(Path(__file__).parent)]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stderr == ""


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from functools import partial; from test_workers import start_troubled\n"
        "from terse.workers import LocalProcesses\n"
        "list(LocalProcesses(1).map(partial(start_troubled, 'forever', sys.argv[1]), [7]))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent)]) as parent:
        deadline = time.monotonic() + 600
        while not (marks := list(tmp_path.glob("7.*"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        parent.kill()
    worker = int(marks[0].suffix[1:])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _lives(worker):
        time.sleep(0.05)
    assert not _lives(worker)


def _lives(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_local_workers_are_found_by_name():
    assert isinstance(lookup("executor", "local")().build(2), LocalProcesses)
    assert isinstance(local_executor(0), InProcess)
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
