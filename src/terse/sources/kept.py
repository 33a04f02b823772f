"""The index of a large source, kept in the cache: read once, and mapped into memory by every start after that.

A kept index is taken only where nothing has changed that its reader could have seen: the settings, and of each file
and folder that they name, and of everything in the images' folder, the name, the size and the times of change; nor the
readers themselves. What a reader gives is kept as it is; what a recipe selects from it is selected anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from stat import S_ISDIR
from typing import TYPE_CHECKING, Any

import numpy as np

from terse.errors import RunError
from terse.folders import cache_folder, replacing
from terse.sources.annotations import Annotations, Cause, Remark, RemarkKind, Skipped
from terse.sources.columns import Column, FieldsColumn, MaskColumn, TextColumn
from terse.sources.finder import is_file

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["kept_index"]

_FEWEST = 50_000  # images and objects; fewer are read in seconds
_SETTLED_S = 2.0  # what changed later than that before it was read could change again within one tick of the clock
_SHA256_BYTES = 32
_COLUMNS: dict[str, type[Column[Any]]] = {
    "paths": TextColumn,
    "licences": TextColumn,
    "object_names": TextColumn,
    "masks": MaskColumn,
    "image_fields": FieldsColumn,
}
_ARRAYS = ("sizes_px", "image_index", "labels", "boxes_px", "crowd", "ignore", "truncated", "occluded", "keypoints")


def kept_index(settings: Mapping[str, object], read: Callable[[], Annotations]) -> Annotations:
    """What `read` gives, from the cache where it was kept and nothing has changed since.

    Args:
        settings: all that the reader depends on, its kind among them; paths as `Path`.
        read: reads the source; a large one is kept.

    Raises:
        DataError: whatever `read` raises.
    """
    paths = {name: value for name, value in settings.items() if isinstance(value, Path)}
    others = {name: value for name, value in settings.items() if name not in paths}
    named = {name: os.path.abspath(path) for name, path in paths.items()}
    key = json.dumps([version("terse-synth"), _readers(), named, others], sort_keys=True, default=str)
    searched = None in others.values()
    try:
        file = cache_folder() / "indexes" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.arrow"
    except RunError:
        return read()
    if is_file(file):
        found = _load(file, list(paths.values()), searched=searched)
        if found is not None:
            return found
    began = time.time()
    made = read()
    small = len(made) + len(made.labels) < _FEWEST
    if small or (state := _state([*paths.values(), made.root], searched=searched))[1] > began - _SETTLED_S:
        return made
    try:
        _save(file, made, state[0])
    except (OSError, RunError):  # no room, or a cache that cannot be written: the source is read again next time
        return made
    found = _load(file, list(paths.values()), searched=searched)
    if found is None:
        return made
    del made
    _give_back()
    return found


def _readers() -> str:
    """A digest of the readers' code, which changes between two versions too."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _state(paths: list[Path], *, searched: bool) -> tuple[str, float]:
    """A digest of these files and of all in these folders by name, size and times; and the time of the latest change.

    Args:
        paths: files and folders.
        searched: what else the reader needs was looked for in the folders beside and above a file.
    """
    total, latest = 0, 0.0
    for path in dict.fromkeys(Path(os.path.abspath(path)) for path in paths):
        beside = path.parent if searched and is_file(path) else None
        for name, stat in (*_below(str(path)), *_folders_at(beside), *_folders_at(beside and beside.parent)):
            content = stat if stat and not S_ISDIR(stat.st_mode) else None  # of a folder, that is the names below it
            facts = (content.st_size, content.st_mtime_ns, content.st_ctime_ns, content.st_ino) if content else ()
            digest = hashlib.blake2b(repr((name, facts)).encode("utf-8", "surrogateescape"), digest_size=16).digest()
            total = (total + int.from_bytes(digest, "little")) % (1 << 128)  # in any order
            latest = max(latest, stat.st_ctime if stat else 0.0)
    return f"{total:032x}", latest


def _below(path: str) -> Iterator[tuple[str, os.stat_result | None]]:
    """A file, or a folder and all below it, links followed; of what cannot be looked at, the name alone."""
    if not os.path.isdir(path):
        yield path, _stat(path)
        return
    folders, seen = [path], set()
    while folders:
        here = folders.pop()
        about = _stat(here)
        if about is None or (about.st_dev, about.st_ino) in seen:
            continue
        seen.add((about.st_dev, about.st_ino))
        yield here, about
        try:
            with os.scandir(here) as entries:
                for entry in entries:
                    if entry.is_dir():
                        folders.append(entry.path)
                        yield entry.path, None
                    else:
                        yield entry.path, _stat(entry.path)
        except OSError:
            yield here, None


def _folders_at(folder: Path | None) -> Iterator[tuple[str, None]]:
    if folder is not None:
        try:
            with os.scandir(folder) as entries:
                yield from ((entry.path, None) for entry in entries if entry.is_dir())
        except OSError:
            return


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def _save(file: Path, made: Annotations, state: str) -> None:
    """Write a file of one row, each column a list of all values; its SHA-256 stands at the end."""
    import pyarrow as pa

    values: dict[str, pa.Array] = {}
    for name, column in _COLUMNS.items():
        given = getattr(made, name)
        if name != "image_fields" or any(given):
            values[name] = column.of(given).array
    shapes = {}
    for name in _ARRAYS:
        array = getattr(made, name)
        if array is not None:
            shapes[name] = (array.shape, array.dtype.str)
            values[name] = pa.array(np.ascontiguousarray(array).reshape(-1).view(_plain(array.dtype)))
    rest = {item.name: getattr(made, item.name) for item in fields(made) if item.name not in (*_COLUMNS, *_ARRAYS)}
    about = {"state": state, "shapes": shapes, **rest, "root": str(made.root)}
    about["skipped"] = [(item.where, item.reason, item.cause) for item in made.skipped]
    about["remarks"] = [(item.kind, item.text) for item in made.remarks]
    lists = {name: pa.LargeListArray.from_arrays([0, len(array)], array) for name, array in values.items()}
    batch = pa.record_batch(lists).replace_schema_metadata({"about": json.dumps(about)})
    digest = hashlib.sha256()
    with replacing(file) as stream:
        with pa.ipc.new_file(pa.PythonFile(_Hashed(stream, digest), mode="w"), batch.schema) as writer:
            writer.write_batch(batch)
        stream.write(digest.digest())


def _give_back() -> None:
    """Have Arrow give the memory of columns that were written, and are mapped now, back to the system."""
    import pyarrow as pa

    pa.default_memory_pool().release_unused()


class _Hashed:
    """A stream whose bytes are hashed as they are written."""

    closed = False

    def __init__(self, stream: Any, digest: Any) -> None:
        self._stream, self._digest, self._at = stream, digest, 0

    def write(self, content: Any) -> int:
        self._digest.update(content)
        self._stream.write(content)
        self._at += len(content)
        return len(content)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        """The stream is flushed by its owner."""


def _load(file: Path, paths: list[Path], *, searched: bool) -> Annotations | None:
    """The index of a file, None where it is not whole or something has changed."""
    import pyarrow as pa

    try:
        if not _is_whole(file):
            return None
        with pa.memory_map(str(file)) as mapped:
            content = mapped.read_buffer(mapped.size() - _SHA256_BYTES)
        batch = pa.ipc.open_file(pa.BufferReader(content)).get_batch(0)
        about = json.loads(batch.schema.metadata[b"about"])
    except (OSError, ValueError, KeyError, pa.ArrowException):
        return None
    root = Path(about["root"])
    if _state([*paths, root], searched=searched)[0] != about.pop("state"):
        return None
    shapes = about.pop("shapes")
    values = {name: batch.column(name).values for name in batch.schema.names}
    given: dict[str, Any] = {name: column(values[name]) for name, column in _COLUMNS.items() if name in values}
    for name, (shape, dtype) in shapes.items():
        given[name] = values[name].to_numpy(zero_copy_only=True).view(dtype).reshape(shape)
    about["skipped"] = tuple(Skipped(where, reason, Cause(cause)) for where, reason, cause in about["skipped"])
    about["remarks"] = tuple(Remark(RemarkKind(kind), text) for kind, text in about["remarks"])
    about["classes"], about["keypoint_names"] = tuple(about["classes"]), tuple(about["keypoint_names"])
    about["keypoint_lines"] = tuple((a, b) for a, b in about["keypoint_lines"])
    return Annotations(**{**about, "root": root, **given})


def _is_whole(file: Path) -> bool:
    digest, left = hashlib.sha256(), file.stat().st_size - _SHA256_BYTES
    with file.open("rb") as stream:
        while left > 0 and (part := stream.read(min(left, 1 << 20))):
            digest.update(part)
            left -= len(part)
        return left == 0 and stream.read() == digest.digest()


def _plain(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Arrow packs booleans into bits, which no array can look into."""
    return np.dtype(np.uint8) if dtype == np.bool_ else dtype
