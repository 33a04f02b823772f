"""Claims of folders, locks that end with their process, and files that are whole or not there."""

import fcntl
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from terse.errors import DataError, RunError
from terse.folders import cache_folder, claim, locked, replacing, taken_back, write_atomically, write_json


class Stopped(Exception):
    pass


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": "\u00e4\udc80"})
    assert path.read_text("utf-8") == '{\n "n": "\u00e4\\\\udc80"\n}\n'.replace("\\\\", "\\")

    def fails():
        with replacing(path) as stream:
            stream.write(b"half")
            raise Stopped

    with pytest.raises(Stopped):
        fails()
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    with pytest.raises(RunError) as caught:
        write_atomically(path / "below", b"")
    assert str(caught.value).startswith(f"{path / 'below'}: expected room to write it, got: ")


def test_the_file_before_is_kept_where_it_is_asked_for(tmp_path):
    for content in (b"1", b"2", b"3"):
        with replacing(tmp_path / "now", keep=tmp_path / "before") as stream:
            stream.write(content)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"now": b"3", "before": b"2"}


def test_a_file_of_the_users_beside_the_output_stays(tmp_path):
    own = tmp_path / "masks.json.tmp"
    own.write_bytes(b"the user's own")
    write_json(tmp_path / "masks.json", [])
    assert own.read_bytes() == b"the user's own"


def test_two_that_write_one_file_at_once_leave_one_of_the_two_whole(tmp_path, monkeypatch):
    path, half_written, released = tmp_path / "views.npz", threading.Event(), threading.Event()
    flock = fcntl.flock

    def locks(handle, how):
        if half_written.is_set():
            released.set()  # the second one is waiting, or would be
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", locks)

    def first():
        with replacing(path) as stream:
            stream.write(b"a" * 9)
            half_written.set()
            assert released.wait(5)
            stream.write(b"a" * 9)

    def second():
        with replacing(path) as stream:
            stream.write(b"b" * 4)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert half_written.wait(10)
        other = pool.submit(second)
        one.result(10)
        other.result(10)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"views.npz": b"b" * 4}


def test_what_a_killed_process_left_of_a_file_is_written_over(tmp_path):
    with replacing(tmp_path / "a") as stream:
        stream.write(b"new")
        (half,) = tmp_path.iterdir()
    half.write_bytes(b"left by a kill")
    with replacing(tmp_path / "a") as stream:
        stream.write(b"newer")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"newer"}


def test_a_nested_key_that_differs_is_named(tmp_path):
    def again(request, **settings):
        return claim(
            tmp_path,
            "run",
            request,
            resume=True,
            written=lambda: {"pool": {"size": 3}, "seed": 1},
            begin=list,
            **settings,
        )

    assert again({"pool": {"size": 3}, "seed": 1})
    assert again({"pool": {"size": 3}, "seed": 2}, ignored=["seed"])
    assert again({"pool": {"size": 3, "mix": None}, "seed": 1})  # a damaged or older recipe lacks a key that is null
    with pytest.raises(RunError) as caught:
        again({"pool": {"size": 4}, "seed": 1})
    assert str(caught.value) == (
        f"{tmp_path}: expected the recipe that the run began with, got another pool.size: 4 instead of 3"
    )


def test_a_folder_has_one_writer_and_its_lock_ends_with_the_process(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from terse.folders import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(3600)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(RunError) as caught, locked(tmp_path / "run"):
            pass
        holder.kill()
        holder.wait()
    assert str(caught.value) == (
        f"{tmp_path / 'run'}: expected a folder that no other process writes in, got one in use; "
        "wait for the other, or give `out` another"
    )
    with locked(tmp_path / "run"):
        assert list((tmp_path / "run").iterdir()) == []


def test_a_mistake_takes_back_a_folder_that_was_empty_and_leaves_another_alone(tmp_path):
    def set_up(folder):
        with taken_back(folder):
            folder.mkdir(exist_ok=True)
            (folder / "recipe.yaml").write_text("begun")
            raise DataError("foregrounds: expected masks, got none")

    for name in ("missing", "empty", "full"):
        if name != "missing":
            (tmp_path / name).mkdir()
        if name == "full":
            (tmp_path / name / "mine").write_text("")
        with pytest.raises(DataError):
            set_up(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
    with pytest.raises(DataError), taken_back(None):
        raise DataError("")


def test_a_folder_that_holds_work_by_now_is_not_taken_back(tmp_path):
    checkpoint = tmp_path / "proof" / "checkpoint.pth"

    def fails_late():
        with taken_back(checkpoint.parent, keep=checkpoint.exists):
            checkpoint.parent.mkdir()
            checkpoint.write_text("hours of training")
            raise DataError("")

    with pytest.raises(DataError):
        fails_late()
    assert checkpoint.exists()


def test_a_process_without_a_home_is_asked_for_a_cache(no_home):
    with pytest.raises(RunError) as error:
        cache_folder()
    assert str(error.value) == ("XDG_CACHE_HOME: expected a folder for the cache, got none, and no home folder; set it")


def test_a_folder_whose_name_is_no_text_is_refused_before_it_is_made(tmp_path):
    folder = tmp_path / os.fsdecode(b"run\xff")
    with pytest.raises(RunError) as error, locked(folder):
        pass
    assert str(error.value) == f"{folder}: expected a name in UTF-8, got other bytes; give `out` another"
    assert list(tmp_path.iterdir()) == []
