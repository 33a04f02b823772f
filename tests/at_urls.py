"""Storage for tests: a memory of its own, and a server that speaks S3."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """A server of moto's on this machine with the bucket `bucket`; gives the environment that leads to it."""
    pytest.importorskip("s3fs", reason='expected the extra s3, got none: pip install "terse-synth[s3]"')
    pytest.importorskip("flask_cors", reason="expected the group dev, got no server: uv sync")
    server_of = pytest.importorskip("moto.server", reason="expected the group dev, got no moto: uv sync")
    import logging

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    given = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    fsspec.get_filesystem_class("s3").clear_instance_cache()  # one that an earlier test made knows other credentials
    try:
        fsspec.filesystem("s3").mkdir("bucket")
        try:
            yield given
        finally:
            fsspec.filesystem("s3").rm("bucket", recursive=True)  # another server of this process has the same memory
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.stop()


def names_at(url: str) -> set[str]:
    """What is below a URL of `memory://`."""
    files, root = fsspec.url_to_fs(url)
    return {name.removeprefix(root).strip("/") for name in files.find(root)}


def files_at(url: str) -> dict[str, bytes]:
    """Everything below a URL, by name."""
    files, root = fsspec.url_to_fs(url)
    files.invalidate_cache()
    return {name.removeprefix(root).strip("/"): files.cat_file(name) for name in files.find(root)}


def put_at(url: str, folder: Path) -> None:
    """A copy of a folder at a URL."""
    files, root = fsspec.url_to_fs(url)
    for path in folder.rglob("*"):
        if path.is_file():
            files.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())
