"""Every hard example so far (the paper's cache), stored as placements in append-only Parquet shards."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Bool, Int64

from terse.errors import DataError, RunError
from terse.folders import check_digest, replacing, sha256_of
from terse.placements import Placements
from terse.placements_table import describe, from_table, read_table, to_table
from terse.pool_shards import shard_name, shards_in
from terse.poses.family import PoseFamily
from terse.protocols import BackgroundBank, ForegroundBank
from terse.storage import Storage
from terse.urls import as_typed, require_trusted_url

__all__ = ["Pool", "Quota", "published"]


class Quota:
    """How many hard examples of each class a cycle still takes, and of each cell of class and pose.

    Args:
        classes: how many there are.
        per_class: as `PoolConfig` has it, and
        per_cycle: likewise.
        uneven: a class may take so many times its even share, and a cell of its class's.
        pasted: the labels that have foregrounds, all of them where it is None: no other class waits for examples.
        cells: of the poses; 1 limits none.
        harvest: how many came before; where fewer are wanted than there are classes, those after the last one's are next.

    Source: paper A.1 (500 a class) and 4.1 (500 a cycle; spread evenly over the classes is ours); cells are ours.
    """

    def __init__(
        self,
        classes: int,
        per_class: int | None,
        per_cycle: int | None,
        uneven: float = 1.0,
        pasted: Int64[np.ndarray, " k"] | None = None,
        cells: int = 1,
        harvest: int = 0,
    ) -> None:
        pasted = np.arange(classes) if pasted is None else pasted
        share = np.zeros(classes, dtype=np.int64)
        if per_class is not None:
            share[pasted] = per_class
            self.total, self.room = per_class * len(pasted), share.copy()
        else:
            self.total = per_cycle or 0
            even = np.full(len(pasted), self.total // len(pasted), dtype=np.int64)
            even[: self.total % len(pasted)] += 1
            if self.total < len(pasted):
                even = np.roll(even, harvest * self.total)
            share[pasted] = even
            self.room = np.minimum(np.floor(share * uneven), self.total).astype(np.int64)
        self._per_cell = np.maximum(1, np.ceil(share * uneven / cells)).astype(np.int64) if cells > 1 else None
        self._in_cell: Counter[tuple[int, int]] = Counter()
        self.taken = 0

    @property
    def missing(self) -> int:
        """How many are still wanted."""
        return min(self.total - self.taken, int(self.room.sum()))

    def has_room(
        self, labels: Int64[np.ndarray, " b"], cells: Int64[np.ndarray, " b"] | None = None
    ) -> Bool[np.ndarray, " b"]:
        """Which rows could be taken, if they were wanted: neither their class nor their cell of it is full."""
        found: Bool[np.ndarray, " b"] = self.room[labels] > 0
        if cells is not None:
            assert self._per_cell is not None, "made without cells"
            held = [self._in_cell[key] for key in zip(labels.tolist(), cells.tolist(), strict=True)]
            found &= np.array(held, dtype=np.int64) < self._per_cell[labels]
        return found

    def accept(
        self, labels: Int64[np.ndarray, " b"], wanted: np.ndarray, cells: Int64[np.ndarray, " b"] | None = None
    ) -> Int64[np.ndarray, " k"]:
        """The rows taken, in index order: wanted ones until their class, or their cell of it, is full."""
        rows = np.flatnonzero(wanted)
        if cells is not None:
            rows = self._in_free_cells(labels, rows, cells)
        taken = [rows[labels[rows] == label][: self.room[label]] for label in np.unique(labels[rows])]
        rows = np.sort(np.concatenate(taken)) if taken else np.zeros(0, dtype=np.int64)
        rows = rows[: self.total - self.taken]
        self.count(labels[rows], None if cells is None else cells[rows])
        np.subtract.at(self.room, labels[rows], 1)
        self.taken += len(rows)
        return rows

    def count(self, labels: Int64[np.ndarray, " k"], cells: Int64[np.ndarray, " k"] | None) -> None:
        """These stand in their cells: those taken, or found before a checkpoint."""
        if cells is not None:
            self._in_cell.update(zip(labels.tolist(), cells.tolist(), strict=True))

    def _in_free_cells(
        self, labels: Int64[np.ndarray, " b"], rows: Int64[np.ndarray, " k"], cells: Int64[np.ndarray, " b"]
    ) -> Int64[np.ndarray, " m"]:
        assert self._per_cell is not None, "made without cells"
        held, free = self._in_cell.copy(), []
        for row in rows.tolist():
            key = int(labels[row]), int(cells[row])
            held[key] += 1
            if held[key] <= self._per_cell[key[0]]:
                free.append(row)
        return np.array(free, dtype=np.int64)


class Pool:
    """The pool of a run, in memory and as one shard a cycle in its folder, and one for each time it is drawn afresh.

    Args:
        folder: of the shards; None keeps the pool in memory.
        foregrounds: the bank that placements number.
        backgrounds: likewise.
        poses: the family of the placements' poses.
        about: what `terse render` needs to draw a shard, kept in its metadata.
        writes: whether shards are written and removed; of several processes one does.
        published: where shards are sent as well, when they are on the disk.
    """

    def __init__(
        self,
        folder: Path | None,
        foregrounds: ForegroundBank,
        backgrounds: BackgroundBank,
        poses: PoseFamily,
        about: Mapping[str, Any] | None = None,
        *,
        writes: bool = True,
        published: Storage | None = None,
    ) -> None:
        self.folder = folder
        self._published = published
        self._writes = writes
        self._sources = _Banks(foregrounds, backgrounds)
        self._poses = poses
        self._about = about or {}
        self._parts: list[Placements] = []
        self._added = 0
        self._digests: dict[str, str] = {}

    def __len__(self) -> int:
        return sum(len(part) for part in self._parts)

    @property
    def placements(self) -> Placements:
        """All of them, in the order of the harvest, with what was judged of each."""
        if not self._parts:
            return Placements.empty(self._poses.size)
        self._parts = [Placements.join(self._parts)] if len(self._parts) > 1 else self._parts
        return self._parts[0]

    def describe(self, placements: Placements, image: int) -> dict[str, Any]:
        """One image of the pool with names instead of numbers, to be shown."""
        return describe(placements, image, self._poses, self._sources)

    @property
    def newest(self) -> Placements:
        """What the last harvest that found something added."""
        return self.placements.take(np.arange(len(self) - self._added, len(self)))

    @property
    def cycles_written(self) -> int:
        """The last cycle of which the folder has a shard; 0 without one."""
        assert self.folder is not None
        return max((cycle for cycle, _ in shards_in(self.folder)), default=0)

    def append(self, cycle: int, placements: Placements, draw: int = 0) -> None:
        """Add a cycle's harvest, and write its shard before anything else happens; `draw` counts its repetitions.

        Raises:
            RunError: no room, no permission, or no way to where it is published; nothing half-written is left.
        """
        placements = replace(placements, number=len(self) + np.arange(len(placements)))
        if self.folder is not None and self._writes:
            path = self._shard(cycle, draw)
            try:
                with replacing(path) as stream:
                    table = to_table(placements, self._poses, self._sources, self._about)
                    pq.write_table(table, stream, write_page_checksum=True)
            except OSError as error:
                raise RunError(f"{path}: expected room to write the pool, got {error.strerror or error}") from None
            self._digests[path.name] = sha256_of(path)
            self._publish(path)
        self._add(placements)

    def _publish(self, path: Path) -> None:
        if self._published is not None:
            self._published.send_once(path.name, path)

    def _add(self, placements: Placements) -> None:
        if len(placements):
            self._parts.append(placements)
            self._added = len(placements)

    def state(self) -> dict[str, str]:
        """The SHA-256 of each shard by its name."""
        return dict(self._digests)

    def restore(self, state: Mapping[str, str]) -> None:
        """What the shards must be when they are loaded; one that is not named is not compared."""
        self._digests = dict(state)

    def load(self, cycles: int, draws: int | None = None) -> None:
        """Read the shards of the first cycles back; later ones are from after the checkpoint, and go.

        `draws` is how often the last of these cycles was drawn afresh; None takes what is there.

        Raises:
            RunError: a shard is missing, or is not the one that was written.
            DataError: a shard is not one, or a source that it names is gone.
        """
        assert self.folder is not None
        found = shards_in(self.folder)
        last = (cycles, max((draw for _, draw in found), default=0) if draws is None else draws)
        for number, path in found.items():
            if number > last and self._writes:
                path.unlink()
        wanted = {(cycle, 0) for cycle in range(1, cycles + 1)} | {(cycles, draw) for draw in range((draws or 0) + 1)}
        for cycle, draw in sorted({number for number in {*found, *wanted} if number[0] > 0 and number <= last}):
            path = self._shard(cycle, draw)
            if not path.is_file():
                raise RunError(f"{path}: expected the pool's shard of cycle {cycle}, got none; the run cannot go on")
            check_digest(path, self._digests.get(path.name))
            table, _ = read_table(path)
            part = from_table(table, self._poses, self._sources, str(path))
            self._publish(path)
            self._add(replace(part, number=len(self) + np.arange(len(part))))

    def _shard(self, cycle: int, draw: int) -> Path:
        assert self.folder is not None
        return self.folder / shard_name(cycle, draw)


def published(path: Path | None, folder: Path | None) -> Storage | None:
    """Where a run's pool is sent as well: `runtime.publish`, beside the run's folder.

    Raises:
        TerseError: a URL that cannot be used, that the recipe alone names, or a run without a folder.
    """
    if path is None:
        return None
    url = as_typed(path)
    if folder is None:
        raise RunError(f"runtime.publish: expected a folder for the run, got none beside {url}; give out as well")
    require_trusted_url("runtime.publish", url)
    return Storage(url, RunError)


class _Banks:
    """The run's banks as a table's sources."""

    def __init__(self, foregrounds: ForegroundBank, backgrounds: BackgroundBank) -> None:
        self.foregrounds, self.backgrounds = _Bank(foregrounds), _Bank(backgrounds)


class _Bank:
    """A bank by its keys alone: the run's own data are not hashed anew in every cycle."""

    def __init__(self, bank: Any) -> None:
        self.keys: Sequence[str] = bank.keys
        self._bank = bank
        self._numbers: dict[str, int] = {}

    def class_of(self, index: int) -> str:
        return str(self._bank.classes[int(self._bank.labels[index])])

    def licence(self, index: int) -> str:
        return ""

    def sha256(self, index: int) -> str:
        return ""

    def index(self, key: str, sha256: str | None, where: str) -> int:
        self._numbers = self._numbers or {name: i for i, name in enumerate(self.keys)}
        if key not in self._numbers:
            raise DataError(
                f"{where}: expected the source {key}, got none of that name; it is gone since the placement"
            )
        return self._numbers[key]
