"""Sets at URLs: the bytes of a set in a folder, after a stop and from another machine too; the manifest comes last."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from at_urls import files_at, names_at, put_at, s3_server
from drawn_sets import files_of
from terse.cli.main import main
from terse.errors import DataError, RecipeError, RunError
from terse.folders import cache_folder, locked
from terse.generate import GenerateSettings, generate, render
from terse.generate.sender import _own_folder
from terse.progress import Observer
from terse.workers import InProcess

SMALL = GenerateSettings(count=10, shard_images=3, objects=(1, 2))
URL = "memory://bucket/set"


pytestmark = pytest.mark.usefixtures("own_storage")


class Stops(Observer):
    """Ends the job by an exception after so many images."""

    def __init__(self, after):
        self.after = after

    def advance(self, what, done, total):
        if done >= self.after:
            raise KeyboardInterrupt


@pytest.fixture(params=["here", "apart"])
def workers_are(request, monkeypatch):
    """Workers that leave files in the planning process's folder, or that share no folder with it."""
    monkeypatch.setattr(InProcess, "apart", request.param == "apart", raising=False)


def left_here():
    return [path for path in cache_folder().rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["coco", "yolo", "voc", "webdataset", "imagefolder"])
def test_a_set_at_a_url_has_the_bytes_of_one_in_a_folder(kind, labelled, tmp_path, workers_are):
    settings = SMALL.model_copy(update={"format": kind})
    here = generate(labelled, settings, tmp_path / "set", workers=0)
    there = generate(labelled, settings, URL, workers=0)
    assert files_at(URL) == files_of(tmp_path / "set")
    assert there["out"] == URL
    assert {**there, "out": 0, "seconds": 0, "images_per_second": 0} == {
        **here, "out": 0, "seconds": 0, "images_per_second": 0,
    }  # fmt: skip
    assert left_here() == []


def test_files_leave_as_their_shards_are_whole_and_the_manifest_last(plain, monkeypatch, workers_are):
    sent = []
    put = MemoryFileSystem.put_file

    def noted(self, local, remote, *more, **settings):
        sent.append(remote.removeprefix("/bucket/set/"))
        return put(self, local, remote, *more, **settings)

    monkeypatch.setattr(MemoryFileSystem, "put_file", noted)
    generate(plain, SMALL, URL, workers=0)
    assert set(sent[:10]) == {f"images/{number:08d}.jpg" for number in range(10)}
    assert sent[-1] == "manifest.json"
    assert len(sent) == len(set(sent))  # no name gets other bytes


@pytest.mark.parametrize("spool_is_lost", [False, True])
def test_a_set_that_was_stopped_goes_on(spool_is_lost, plain, tmp_path, workers_are):
    generate(plain, SMALL, tmp_path / "set", workers=0)
    with pytest.raises(KeyboardInterrupt):
        generate(plain, SMALL, URL, workers=0, observer=Stops(after=6))
    assert "images/00000000.jpg" in names_at(URL)
    assert "manifest.json" not in names_at(URL)
    with pytest.raises(RunError, match=f"^{URL}: expected a new folder, got one that holds a set; add `resume`"):
        generate(plain, SMALL, URL, workers=0)
    other = SMALL.model_copy(update={"seed": 7})
    with pytest.raises(
        RunError, match=f"^{URL}: expected the request that the set began with, got another settings.seed"
    ):
        generate(plain, other, URL, workers=0, resume=True)
    if spool_is_lost:
        shutil.rmtree(cache_folder())
    seen = []

    class Counts(Observer):
        def advance(self, what, done, total):
            seen.append(done)

    generate(plain, SMALL, URL, workers=0, resume=True, observer=Counts())
    assert seen[0] == (3 if spool_is_lost else 9)
    assert files_at(URL) == files_of(tmp_path / "set")
    again = generate(plain, SMALL, URL, workers=0, resume=True)
    assert (again["images"], again["seconds"]) == (10, 0.0)
    assert left_here() == []


def test_an_image_that_is_gone_from_the_url_is_made_again(plain, tmp_path, workers_are):
    generate(plain, SMALL, tmp_path / "set", workers=0)
    with pytest.raises(KeyboardInterrupt):
        generate(plain, SMALL, URL, workers=0, observer=Stops(after=6))
    fsspec.filesystem("memory").rm("/bucket/set/images/00000001.jpg")
    generate(plain, SMALL, URL, workers=0, resume=True)
    assert files_at(URL) == files_of(tmp_path / "set")


@contextmanager
def cut_at(ending):
    """The connection is cut when a file whose name ends so is sent."""
    put = MemoryFileSystem.put_file

    def fails(self, local, remote, *more, **settings):
        if remote.endswith(ending):
            raise ConnectionResetError("the line was cut")
        return put(self, local, remote, *more, **settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryFileSystem, "put_file", fails)
        yield


def test_a_kill_between_the_two_manifests_is_no_whole_set(plain, tmp_path):
    generate(plain, SMALL, tmp_path / "set", workers=0)
    with cut_at("SHA256SUMS"), pytest.raises(RunError, match=f"^{URL}: expected to write it, got: the line was cut$"):
        generate(plain, SMALL, URL, workers=0)
    assert "manifest.json" not in names_at(URL)
    generate(plain, SMALL, URL, workers=0, resume=True)
    assert files_at(URL) == files_of(tmp_path / "set")


def test_a_url_that_was_emptied_is_begun_anew(plain, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        generate(plain, SMALL, URL, workers=0, observer=Stops(after=6))
    fsspec.filesystem("memory").rm("/bucket/set", recursive=True)
    generate(plain, SMALL.model_copy(update={"count": 2}), URL, workers=0)
    assert {name for name in names_at(URL) if name.startswith("images/")} == {
        "images/00000000.jpg", "images/00000001.jpg",
    }  # fmt: skip


def test_a_shard_that_could_not_be_sent_leaves_nothing_here(plain, tmp_path, monkeypatch):
    monkeypatch.setattr(InProcess, "apart", True, raising=False)
    with cut_at("00000004.jpg"), pytest.raises(RunError, match=f"^{URL}: expected to write it, got: the line was cut$"):
        generate(plain, SMALL, URL, workers=0)
    assert [path for path in (cache_folder() / "shards").rglob("*") if path.is_file()] == []
    generate(plain, SMALL, URL, workers=0, resume=True)
    generate(plain, SMALL, tmp_path / "set", workers=0)
    assert files_at(URL) == files_of(tmp_path / "set")


def test_what_a_killed_worker_left_is_removed_by_the_next_and_what_lives_is_not(tmp_path):
    home = cache_folder() / "shards"
    (home / "killed" / "images").mkdir(parents=True)
    (home / "lives").mkdir()
    with locked(home / "lives"), ExitStack() as held:
        own = _own_folder(held)
        assert {path.name for path in home.iterdir()} == {"lives", own.name}


def test_a_machine_without_the_folders_is_named(plain, tmp_path):
    made = []

    class Elsewhere(InProcess):
        def map(self, start, shards, observer=None):
            made.append(start)
            return super().map(start, shards, observer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("terse.generate.make.executor_of", lambda *asked: Elsewhere())
        generate(plain, SMALL, tmp_path / "set")
    shutil.rmtree(tmp_path / "set")
    with pytest.raises(DataError) as caught:
        made[0](Observer())
    assert str(caught.value) == (
        f"{tmp_path / 'set'}: expected the set's folder on every machine that works, got none on {socket.gethostname()}; "
        "share it between the machines under this path, or give a URL"
    )


def test_a_url_that_holds_something_else_is_refused(plain):
    fsspec.filesystem("memory").pipe_file("/bucket/set/mine.txt", b"mine")
    with pytest.raises(RunError, match=rf"^{URL}: expected a new or empty folder, got one with files in it"):
        generate(plain, SMALL, URL, workers=0)
    assert names_at(URL) == {"mine.txt"}


def test_a_request_that_cannot_be_met_leaves_nothing_there(plain, workers_are):
    limits = SMALL.model_copy(update={"max_truncation": 0.0, "max_overlap": 0.0, "objects": (60, 60), "tries": 1})
    with pytest.raises(DataError, match=r"^limits: expected placements that meet them"):
        generate(plain, limits, URL, workers=0)
    assert names_at(URL) == set()
    with pytest.raises(RecipeError, match=r"^backgrounds: expected a source"):
        generate(plain.model_copy(update={"backgrounds": None}), SMALL, URL, workers=0)
    assert names_at(URL) == set()


def test_placements_at_a_url_are_rendered(plain, tmp_path):
    generate(plain, SMALL, URL, workers=0)
    generate(plain, SMALL, tmp_path / "set", workers=0)
    render(tmp_path / "set" / "placements.parquet", tmp_path / "again", workers=0)
    render(f"{URL}/placements.parquet", "memory://bucket/again", workers=0)
    assert files_at("memory://bucket/again") == files_of(tmp_path / "again")
    with pytest.raises(
        DataError, match=r"^memory://bucket/none.parquet: expected a file, or a folder with files, got none$"
    ):
        render("memory://bucket/none.parquet", tmp_path / "none", workers=0)


@pytest.mark.parametrize("command", ["train", "prove"])
def test_a_run_at_a_url_is_refused_before_it_is_spoken_of(command, capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main([command, "quickstart", "--out", "s3://bucket/run"])
    (said,) = capfd.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert said.startswith("terse: s3://bucket/run: expected a folder on this machine, got a URL")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # boto's own
def test_a_set_on_s3(world, plain, tmp_path, capfd, monkeypatch):
    """Sources, set, page and placements on a server that speaks S3, from the command line."""
    with s3_server():
        put_at("s3://bucket/world/fore", world / "fore")
        put_at("s3://bucket/world/back", world / "back")
        typed = ["foregrounds.coco=s3://bucket/world/fore/set.json", "foregrounds.images=s3://bucket/world/fore/images"]
        sized = ["--count", "10", "--objects", "1..2"]
        words = ["generate", "paste", *typed, "backgrounds.images=s3://bucket/world/back/images", *sized]
        with pytest.raises(SystemExit) as ended:
            main([*words, "--out", "s3://bucket/set", "--workers", "2", "--json"])
        assert ended.value.code == 0
        result = json.loads(capfd.readouterr().out)
        assert result["out"] == "s3://bucket/set"
        generate(plain, SMALL, tmp_path / "set", workers=0)
        made, local = files_at("s3://bucket/set"), files_of(tmp_path / "set")
        assert b"<html" in made.pop("report.html").lower()
        same = set(local) - {"manifest.json", "placements.parquet"}  # these two name the sources
        assert set(made) == set(local)
        assert {name: made[name] for name in same} == {name: local[name] for name in same}
        assert left_in("sets") == []
        monkeypatch.setattr("terse.urls._TYPED", set())  # another day: only the placements name the sources
        words = ["render", "s3://bucket/set/placements.parquet", "--out", "s3://bucket/again", "--format", "yolo"]
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert "coco: expected --trust" in capfd.readouterr().err
        with pytest.raises(SystemExit) as ended:
            main([*words, "--trust"])
        assert ended.value.code == 0, capfd.readouterr().err
        assert "labels/00000009.txt" in files_at("s3://bucket/again")
        with pytest.raises(RunError, match=re.escape("s3://nowhere/set: expected something there")):
            generate(plain, SMALL, "s3://nowhere/set", workers=0)


def test_the_documented_lines_for_sets_at_urls_run(tmp_path, monkeypatch, capfd):
    text = (Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")
    block = text.split("## Sets, images and pools at URLs")[1].split("```")[1].replace("\\\n", "")
    lines = [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("terse ")]
    for folder in ("cuts/ring", "rooms"):
        (tmp_path / folder).mkdir(parents=True)
    cut = np.zeros((20, 20, 4), np.uint8)
    cut[4:16, 4:16] = 255
    Image.fromarray(cut).save(tmp_path / "cuts" / "ring" / "0.png")
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / "rooms" / "0.png")
    with s3_server():
        for name in ("cuts", "rooms"):
            put_at(f"s3://bucket/{name}", tmp_path / name)
        for words in (line for line in lines if line[0] != "train"):
            monkeypatch.setattr("terse.urls._TYPED", set())
            with pytest.raises(SystemExit) as ended:
                main([*("3" if word == "100000" else word for word in words), "--workers", "0"])
            assert ended.value.code == 0, capfd.readouterr().err
        assert len([name for name in files_at("s3://bucket/sets/kitchen-coco") if name.startswith("images/")]) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_killed_process_goes_on_at_s3(world, tmp_path):
    sources = [f"foregrounds.coco={world}/fore/set.json", f"backgrounds.images={world}/back/images"]
    command = [
        sys.executable,
        "-m",
        "terse",
        "generate",
        "paste",
        *sources,
        "--count",
        "600",
        "--workers",
        "1",
        "--no-page",
    ]
    with s3_server() as environment:

        def begun(out, *more):
            return subprocess.Popen([*command, "--out", out, *more], env={**os.environ, **environment})

        assert begun("s3://bucket/whole").wait() == 0
        killed = begun("s3://bucket/killed")
        files = fsspec.filesystem("s3")
        for _ in range(2000):
            files.invalidate_cache()
            if len(files.find("bucket/killed/images")) > 50:
                break
            time.sleep(0.02)
        killed.kill()
        killed.wait()
        sent = set(files_at("s3://bucket/killed"))
        assert ".parts/request.json" in sent
        assert "manifest.json" not in sent
        assert begun("s3://bucket/killed", "--resume").wait() == 0
        assert files_at("s3://bucket/killed") == files_at("s3://bucket/whole")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("credentials", "said"),
    [
        ("testing", "expected to list it, got: Could not connect to the endpoint URL"),
        (None, "expected credentials, got none that are whole .*; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_server_that_cannot_be_reached_is_one_sentence(credentials, said, plain, tmp_path, monkeypatch):
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, credentials) if credentials else monkeypatch.delenv(name, raising=False)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(RunError, match=f"^s3://bucket/set: {said}"):
        generate(plain, SMALL, "s3://bucket/set", workers=0)
    s3fs.S3FileSystem.clear_instance_cache()


def left_in(name: str) -> list[Path]:
    """Files below a folder of the cache."""
    return [path for path in (cache_folder() / name).rglob("*") if path.is_file()]
