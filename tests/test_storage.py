"""Files at URLs: listed, copied once, and every obstacle one sentence."""

import builtins
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from terse.errors import DataError, MissingExtra, RunError
from terse.folders import cache_folder, write_json
from terse.progress import Observer
from terse.storage import Storage, local_copy
from terse.urls import as_typed, local_path, url_of

URL = "memory://bucket/cuts"


@pytest.fixture(autouse=True)
def memory(own_storage):
    """Two files in folders."""
    files = fsspec.filesystem("memory")
    files.pipe_file("/bucket/cuts/cup/a.png", b"one")
    files.pipe_file("/bucket/cuts/plate/b.png", b"three")
    return files


@pytest.fixture
def fetched(monkeypatch):
    """The names that are fetched."""
    names = []
    get = MemoryFileSystem.get_file

    def noted(self, remote, local, *more, **settings):
        names.append(remote)
        return get(self, remote, local, *more, **settings)

    monkeypatch.setattr(MemoryFileSystem, "get_file", noted)
    return names


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("s3:/bucket/key", "s3://bucket/key"),  # as pathlib writes it
        ("memory:///a/b", "memory://a/b"),
        ("https://host/a.json?x=1", "https://host/a.json?x=1"),
        ("file:///a/b", None),
        ("/a/b", None),
        ("a:b", None),
        ("c:/windows", None),
    ],
)
def test_a_path_knows_the_url_that_was_typed(typed, url, tmp_path):
    assert url_of(typed) == url_of(tmp_path.__class__(typed)) == url
    assert as_typed(typed) == (url or typed)


def test_file_urls_are_paths_here():
    assert str(local_path("file:///a/b")) == "/a/b"
    assert str(local_path("a/b")) == "a/b"


def test_a_folder_is_copied_once_and_follows_what_changes(memory, fetched):
    seen = []

    class Counts(Observer):
        def advance(self, what, done, total):
            seen.append((what, done, total))

    copy = local_copy(URL, Counts())
    assert copy.name == "cuts"
    assert copy.is_relative_to(cache_folder())
    assert contents(copy) == {"cup/a.png": b"one", "plate/b.png": b"three"}
    assert seen == [(f"files of {URL}", 0, 2), (f"files of {URL}", 2, 2)]
    assert len(fetched) == 2
    assert local_copy(URL) == copy
    assert len(fetched) == 2
    time.sleep(0.01)
    memory.pipe_file("/bucket/cuts/cup/a.png", b"two")  # as long as before, at another time
    memory.rm("/bucket/cuts/plate/b.png")
    assert contents(local_copy(URL)) == {"cup/a.png": b"two"}
    assert fetched[2:] == ["/bucket/cuts/cup/a.png"]


def test_a_file_is_copied_under_its_own_name(memory):
    copy = local_copy(f"{URL}/cup/a.png")
    assert (copy.name, copy.read_bytes()) == ("a.png", b"one")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"x": b"file"}, {"x/y": b"folder", "x/z/w": b"deep"}),
        ({"x/y": b"folder", "x/z/w": b"deep"}, {"x": b"file"}),
        ({"x/y": b"folder"}, {"x/y/z": b"deep"}),
        ({"": b"a file alone"}, {"x": b"now a folder"}),
        ({"x": b"a folder"}, {"": b"now a file alone"}),
    ],
)
def test_a_file_that_became_a_folder_is_copied_and_the_reverse(memory, before, after):
    def put(files):
        if memory.exists("/b/e"):
            memory.rm("/b/e", recursive=True)
        for name, data in files.items():
            memory.pipe_file(f"/b/e/{name}".rstrip("/"), data)

    put(before)
    local_copy("memory://b/e")
    put(after)
    copy = local_copy("memory://b/e")
    found = {"": copy.read_bytes()} if copy.is_file() else contents(copy)
    assert found == after
    assert [path for path in copy.parent.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_a_copy_that_was_cut_short_goes_on(memory, monkeypatch):
    get = MemoryFileSystem.get_file

    def fails(self, remote, local, *more, **settings):
        if remote.endswith("b.png"):
            raise TimeoutError("no answer")
        return get(self, remote, local, *more, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", fails)
        with pytest.raises(DataError, match=rf"^{URL}: expected to read it, got: no answer$"):
            local_copy(URL)
    assert contents(local_copy(URL)) == {"cup/a.png": b"one", "plate/b.png": b"three"}


def test_a_file_named_as_anothers_part_stays(memory):
    """`X.tmp` beside `X`, which changes; and a name as long as a disk takes."""
    long = "n" * 251 + ".png"
    memory.pipe_file("/bucket/cuts/cup/a.png.tmp", b"a file of its own")
    memory.pipe_file(f"/bucket/cuts/{long}", b"long")
    local_copy(URL)
    time.sleep(0.01)
    memory.pipe_file("/bucket/cuts/cup/a.png", b"changed")
    copy = local_copy(URL)
    assert contents(copy) == {
        "cup/a.png": b"changed",
        "cup/a.png.tmp": b"a file of its own",
        "plate/b.png": b"three",
        long: b"long",
    }
    assert [path.name for path in copy.parent.parent.iterdir()] == [copy.parent.name]


def test_names_that_lead_out_are_refused(memory, tmp_path):
    MemoryFileSystem.store["/bucket/cuts/../../../out.png"] = MemoryFileSystem.store["/bucket/cuts/cup/a.png"]
    with pytest.raises(DataError, match=rf"^{URL}: expected names inside the folder, got '../../../out.png'$"):
        local_copy(URL)
    assert not list(tmp_path.rglob("*.png"))


def test_a_name_of_a_file_and_a_folder_is_refused(fetched):
    """As object stores allow it."""
    one = MemoryFileSystem.store["/bucket/cuts/cup/a.png"]
    MemoryFileSystem.store["/bucket/cuts/cup"] = one
    with pytest.raises(DataError) as caught:
        local_copy(URL)
    assert str(caught.value) == (
        f"{URL}: expected names that a disk can hold, got a file and a folder that are called 'cup'"
    )
    assert fetched == []


def test_what_is_too_large_is_refused_before_it_is_fetched(monkeypatch, fetched):
    monkeypatch.setenv("TERSE_CACHE_GB", "0.000000007")
    expected = f"{URL}: expected at most 7e-09 GB to copy, got 8e-09; name a smaller folder, or set TERSE_CACHE_GB"
    with pytest.raises(DataError) as raised:
        local_copy(URL)
    assert str(raised.value) == expected
    assert fetched == []
    for typed in ("many", "nan", "-1"):
        monkeypatch.setenv("TERSE_CACHE_GB", typed)
        with pytest.raises(RunError) as refused:
            local_copy(URL)
        assert str(refused.value) == f"TERSE_CACHE_GB: expected a number of gigabytes, got {typed!r}"


def test_a_url_that_ends_in_two_dots_stays_in_its_own_folder():
    MemoryFileSystem.store["/bucket/../a.png"] = MemoryFileSystem.store["/bucket/cuts/cup/a.png"]
    copy = local_copy("memory://bucket/..")
    assert copy.name == "files"
    assert (copy / "a.png").is_file()


def test_a_full_disk_is_named_before_it_is_full(monkeypatch):
    usage = __import__("shutil").disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=3))
    with pytest.raises(
        DataError, match=rf"^{URL}: expected room for 8e-09 GB in .*/terse, got 3e-09; let XDG_CACHE_HOME"
    ):
        local_copy(URL)


def test_a_url_where_nothing_is_is_named():
    with pytest.raises(DataError, match=r"^memory://bucket/none: expected a file, or a folder with files, got none$"):
        local_copy("memory://bucket/none")


def test_a_missing_package_has_its_install_line(monkeypatch):
    known = builtins.__import__

    def without(name, *more, **settings):
        if name.startswith(("s3fs", "gcsfs")):
            raise ImportError(f"no {name}")
        return known(name, *more, **settings)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("importlib.import_module", without)
    for name in ("s3", "s3a", "gs"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, name, raising=False)
    with pytest.raises(MissingExtra) as raised:
        Storage("s3://bucket/cuts")
    assert str(raised.value) == (
        "s3://bucket/cuts: expected the extra 's3' to be installed, got no such package; run: "
        'pip install "terse-synth[s3]"'
    )
    with pytest.raises(
        DataError, match=r"^gs://bucket/cuts: expected the package that reads gs://, got none \(.*gcsfs"
    ):
        Storage("gs://bucket/cuts")


def test_an_unknown_protocol_is_named():
    with pytest.raises(DataError, match=r"^nope://a/b: expected a protocol that fsspec knows, got another"):
        Storage("nope://a/b")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError("Forbidden"), "expected to be let in, got: Forbidden; look at your credentials"),
        (FileNotFoundError("bucket"), r"expected something there to list, got nothing \(bucket\)"),
        (OSError("two\nlines"), "expected to list it, got: two lines"),
        (type("NoCredentialsError", (Exception,), {})("Unable"), r"expected credentials, .*; set AWS_ACCESS_KEY_ID"),
    ],
)
def test_every_obstacle_is_a_sentence(error, said, monkeypatch):
    def fails(*what, **settings):
        raise error

    monkeypatch.setattr(MemoryFileSystem, "find", fails)
    with pytest.raises(DataError, match=f"^{URL}: {said}"):
        local_copy(URL)


def test_what_stays_here_is_not_written_to_a_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"^s3://bucket/run: expected a folder on this machine, got a URL"):
        write_json(tmp_path.__class__("s3://bucket/run/result.json"), {})
    assert not (tmp_path / "s3:").exists()


def test_a_published_name_never_changes_its_bytes(tmp_path):
    storage, file = Storage("memory://bucket/pool", RunError), tmp_path / "shard"
    for data in (b"one", b"one"):
        file.write_bytes(data)
        storage.send_once("cycle-0001.parquet", file)
    file.write_bytes(b"two")
    with pytest.raises(RunError) as raised:
        storage.send_once("cycle-0001.parquet", file)
    assert str(raised.value) == (
        "memory://bucket/pool/cycle-0001.parquet: expected no file, or the same, got another's bytes; give another URL"
    )
    assert storage.read("cycle-0001.parquet") == b"one"


def test_https_names_one_file_whose_links_are_not_followed(tmp_path):
    pytest.importorskip("aiohttp")
    asked = []

    class Serves(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data = b'{"images": [{"coco_url": "http://127.0.0.1/a.jpg"}]}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if self.command == "GET" else b"")

        do_HEAD = do_GET  # noqa: N815 - the name that http.server asks for

        def log_message(self, *what):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Serves) as server:
        Thread(target=server.serve_forever).start()
        try:
            copy = local_copy(f"http://127.0.0.1:{server.server_port}/set/all.json?key=1")
        finally:
            server.shutdown()
    assert copy.name == "all.json"
    assert b"coco_url" in copy.read_bytes()
    assert set(asked) == {"/set/all.json?key=1"}
    fsspec.get_filesystem_class("http").clear_instance_cache()
