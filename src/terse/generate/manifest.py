"""What a set was made from, and what it holds: enough to make it again and to give credit."""

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from terse.errors import RunError
from terse.generate.shard import PARTS

__all__ = ["assemble_common", "claim", "versions", "write_manifest"]

_REQUEST = "request.json"
_COPY_BYTES = 1 << 20


def versions() -> dict[str, str]:
    """Of what decides pixels and labels."""
    names = ("terse-synth", "torch", "numpy", "opencv-python-headless", "pyarrow")
    return {
        **{name: version(name) for name in names},
        "python": platform.python_version(),
        "cpu": platform.machine(),
    }


def claim(out: Path, about: Mapping[str, Any], *, resume: bool) -> dict[str, Any] | None:
    """Make the folder this set's, or see that it is already; the manifest where the set is whole.

    Raises:
        RunError: not a folder that can be written, another set's, or one that nobody asked to go on with.
    """
    request = out / PARTS / _REQUEST
    manifest = out / "manifest.json"
    text = json.dumps(dict(about), sort_keys=True, ensure_ascii=False)
    try:
        if out.is_dir() and any(out.iterdir()):
            if not resume:
                raise RunError(
                    f"--out: expected a new or empty folder, got {out} with files in it; "
                    "give another, or --resume to go on with a set that was cut short"
                )
            if manifest.is_file():
                written = json.loads(manifest.read_text("utf-8"))
                _same(out, written["about"], about)
                return dict(written)
            if not request.is_file():
                raise RunError(
                    f"--resume: expected a set that was cut short, got {out} without one; give another --out"
                )
            _same(out, json.loads(request.read_text("utf-8")), about)
            return None
        request.parent.mkdir(parents=True, exist_ok=True)
        temporary = request.with_suffix(".tmp")
        temporary.write_text(text, "utf-8")
        temporary.replace(request)
    except OSError as error:
        raise RunError(f"--out: expected a folder that can be written, got {out}: {error.strerror or error}") from None
    return None


def _same(out: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in sorted({*old, *new}):
        name, before, now = key, old.get(key), new.get(key)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            inner = next(k for k in sorted({*before, *now}) if before.get(k) != now.get(k))
            name, before, now = f"{key}.{inner}", before.get(inner), now.get(inner)
        raise RunError(
            f"--resume: expected the request that {out} was begun with, got another {name}: "
            f"{json.dumps(now)} in the place of {json.dumps(before)}; give the same, or another --out"
        )


def assemble_common(out: Path, parts: Sequence[Path], subfolder: str) -> None:
    """Join placements and hashes of the shards, as streams."""
    writer = None
    temporary = out / "placements.parquet.tmp"
    for part in parts:
        table = pq.read_table(part / "placements.parquet")
        if writer is None:
            writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
        writer.write_table(table)
    if writer is not None:
        writer.close()
        temporary.replace(out / "placements.parquet")
    with (out / "SHA256SUMS.tmp").open("w", encoding="utf-8", newline="\n") as file:
        for part in parts:
            for line in (part / "SHA256SUMS").read_text("utf-8").splitlines():
                digest, name = line.split("  ", 1)
                file.write(f"{digest}  {subfolder}{name}\n")
    (out / "SHA256SUMS.tmp").replace(out / "SHA256SUMS")


def write_manifest(
    out: Path,
    about: Mapping[str, Any],
    sources: Mapping[str, Any],
    summary: Mapping[str, Any],
) -> None:
    """`manifest.json`, last of all: where it is, the set is whole."""
    whole = [path for path in sorted(out.iterdir()) if path.is_file() and path.name != "manifest.json"]
    contents = {path.name: _sha256(path) for path in whole}
    manifest = {
        "made_by": versions(),
        "about": dict(about),
        "sources": dict(sources),
        "summary": dict(summary),
        "sha256": contents,
    }
    temporary = out / "manifest.json.tmp"
    temporary.write_text(
        json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False) + "\n",
        "utf-8",
    )
    temporary.replace(out / "manifest.json")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_COPY_BYTES):
            digest.update(block)
    return digest.hexdigest()
