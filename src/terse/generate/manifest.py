"""What a set was made from, and what it holds: enough to make it again and to give credit."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from terse.errors import RunError
from terse.folders import claim, replacing, sha256_of, sync_written, write_json
from terse.generate.real import VAL
from terse.generate.shard import PARTS
from terse.results import SetResult, as_record, read_object

__all__ = ["MANIFEST", "REQUEST", "ROWS", "assemble_common", "claim_set", "read_manifest", "versions", "write_manifest"]

MANIFEST = "manifest.json"
REQUEST = f"{PARTS}/request.json"
"""What the set was begun with, while it is not whole."""
ROWS = "placements_sha256"
"""Of a request to draw placements again: which ones. Sets of an older terse do not say."""
_ROW_GROUP = 1 << 16  # rows


def versions() -> dict[str, str]:
    """Of what decides pixels and labels."""
    names = ("terse-synth", "torch", "numpy", "opencv-python-headless", "pyarrow")
    return {
        **{name: version(name) for name in names},
        "python": platform.python_version(),
        "cpu": platform.machine(),
    }


def claim_set(out: Path, about: Mapping[str, Any], *, resume: bool) -> tuple[dict[str, Any] | None, bool]:
    """Make the folder this set's, or see that it is already; the manifest where the set is whole, and whether it is begun now.

    Raises:
        RunError: not a folder that can be written, another set's, or one that nobody asked to go on with.
    """
    request, manifest = out / REQUEST, out / MANIFEST
    read = read_manifest(manifest) if manifest.is_file() else None
    old = read["about"] if read is not None else _begun_with(request)
    held = claim(
        out,
        "set",
        about,
        called="request",
        resume=resume,
        written=lambda: old,
        begin=lambda: write_json(request, dict(about), indent=None),
        ignored=() if old is None or ROWS in old else (ROWS,),
        resume_begins=True,
    )
    return read, not held


def read_manifest(path: Path) -> dict[str, Any]:
    """What a whole set's `manifest.json` says; `about` is a mapping, `summary` what a page shows.

    Raises:
        RunError: none, or one that cannot be read.
    """
    found = read_object(path, "a set's manifest")
    if lost := next((name for name in ("about", "summary") if not isinstance(found.get(name), dict)), None):
        raise RunError(f"{path}: expected a set's manifest, got one without {lost}; restore it")
    as_record(path, SetResult, {"out": path.parent.name, **found["summary"]}, "a set's manifest", "summary")
    return found


def _begun_with(request: Path) -> dict[str, Any] | None:
    return read_object(request, "what a set was begun with") if request.is_file() else None


def assemble_common(out: Path, parts: Sequence[Path], subfolders: Sequence[str]) -> None:
    """Join placements and hashes of the shards, as streams; each part's images are in its subfolder."""
    if parts:
        schema = _table(parts[0]).schema
        with (
            replacing(out / "placements.parquet") as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            waiting: list[pa.Table] = []
            for part in parts:  # a row group a shard would be as large as what it holds
                waiting.append(_table(part))
                if sum(map(len, waiting)) >= _ROW_GROUP:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting.clear()
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
    with replacing(out / "SHA256SUMS") as stream:
        for part, subfolder in zip(parts, subfolders, strict=True):
            for line in (part / "SHA256SUMS").read_text("utf-8").splitlines():
                digest, name = line.split("  ", 1)
                stream.write(f"{digest}  {subfolder}{name}\n".encode())


def _table(part: Path) -> pa.Table:
    with (part / "placements.parquet").open("rb") as stream, pq.ParquetFile(stream) as file:
        return file.read()


def write_manifest(
    out: Path,
    about: Mapping[str, Any],
    limits: Mapping[str, Any] | None,
    sources: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> None:
    """`manifest.json`, last of all: where it is, the set is whole.

    `limits` are what the settings and the arm came to; None where placements were only drawn again.
    """
    found = [*sorted(out.iterdir()), *sorted((out / VAL).glob("*"))]
    whole = [path for path in found if path.is_file() and not path.name.startswith(MANIFEST)]  # nor its `.tmp`
    contents = {path.relative_to(out).as_posix(): sha256_of(path) for path in whole}
    manifest = {
        "made_by": versions(),
        "about": dict(about),
        **({} if limits is None else {"limits": dict(limits)}),
        "sources": dict(sources),
        "summary": dict(summary),
        "sha256": contents,
    }
    sync_written(out)
    write_json(out / MANIFEST, manifest, sort_keys=True)
