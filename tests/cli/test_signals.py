"""SIGTERM ends a command in order, and workers end with the process that began them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forked import command
from terse.cli.progress import Lines, stoppable
from terse.cli.signals import answering


def begun(*arguments):
    command = [sys.executable, "-m", "terse", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until(true, process, seconds=120):
    deadline = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def unignored():
    """SIGHUP as a terminal has it: a suite begun by `nohup` hands on that it is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("unignored")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_saves_a_run(tmp_path, small, number, status):
    """A terminal that closes sends SIGHUP, often twice: one wish to stop."""
    out = tmp_path / "run"
    with command(tmp_path, "train", "quickstart", *small, "fine_tune.epochs=4000", "--out", out) as process:
        wait_until((out / "state" / "checkpoint.pth").exists, process)
        process.send_signal(number)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    assert process.returncode == status
    assert err.splitlines()[-1].endswith(f"--out {out} --resume")


def test_a_system_without_sighup_is_told_what_runs_where_and_no_more(monkeypatch):
    """Windows: `terse --version` ended in a traceback below its answer."""
    monkeypatch.delattr(signal, "SIGHUP")
    with answering(lambda number, frame: None):
        pass


def test_a_signal_at_the_very_end_aborts_nothing():
    """It once did: a thread in OpenCV outlived the interpreter, "terminate called without an active exception", 134."""
    code = (
        "import os, signal, sys, threading\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "import cv2, numpy\n"
        "from terse.cli.main import main\n"
        "image = numpy.zeros((200, 200, 3), numpy.uint8)\n"
        "work = lambda: [cv2.GaussianBlur(image, (5, 5), 1) for _ in range(100000)]\n"
        "ThreadPoolExecutor(1).submit(work)\n"
        "sys.argv[1:] = ['--version']\n"
        "try: main()\n"
        "finally: threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()


def test_one_signal_gives_its_status_and_nohup_is_kept():
    asked = []
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with answering(lambda number, frame: asked.append(number)):
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        watcher = Lines()
        with stoppable(watcher):
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            assert watcher.exit_status == 129
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert asked == []


def test_sigterm_ends_generate_with_the_line_that_goes_on(paste_data, tmp_path):
    out = tmp_path / "set"
    arguments = ["generate", "paste", *paste_data, "--count", "20000", "--workers", "1", "--out", out]
    process = begun(*arguments)
    wait_until(lambda: any((out / ".parts").glob("*/SHA256SUMS")) if (out / ".parts").exists() else False, process)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.splitlines()[-1].startswith("terse: stopped; go on with: terse generate paste ")
    assert err.splitlines()[-1].endswith("--resume")
    assert "Traceback" not in err


def test_workers_end_with_a_killed_parent(paste_data, tmp_path):
    out = tmp_path / "set"
    process = begun("generate", "paste", *paste_data, "--count", "20000", "--workers", "2", "--out", out)
    wait_until(lambda: any((out / ".parts").glob("*/SHA256SUMS")) if (out / ".parts").exists() else False, process)
    mine = children(process.pid)
    assert mine
    process.kill()
    process.wait()
    before = worked = {pid: seconds_of(pid) for pid in mine}
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in mine) and time.monotonic() < deadline:
        time.sleep(0.02)
        worked = {pid: max(seconds, seconds_of(pid)) for pid, seconds in worked.items()}
    assert not [pid for pid in mine if alive(pid)]
    assert max(worked[pid] - before[pid] for pid in mine) < 1.0  # of work, which a busy machine does not stretch
    process.stdout.close()
    process.stderr.close()


def children(pid):
    """All processes below this one."""
    below, parents = [pid], {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    for one in below:
        below += [child for child, parent in parents.items() if parent == one]
    return below[1:]


def seconds_of(pid):
    """CPU time of a process so far; 0 where it is gone."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    except OSError:
        return 0.0
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_sigterm_of_the_first_seconds_says_so(tmp_path, small):
    process = begun("train", "quickstart", *small, "--out", tmp_path / "run")
    time.sleep(0.05)
    wait_until(lambda: handles_sigterm(process.pid), process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 143
    assert "stopped" in err.splitlines()[-1]


def handles_sigterm(pid):
    """Whether the process has a handler for SIGTERM by now."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> signal.SIGTERM - 1 & 1)
