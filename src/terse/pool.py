"""Every hard example so far (the paper's cache), stored as placements in append-only Parquet shards."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from terse.errors import DataError, RunError
from terse.placements import Placements
from terse.protocols import BackgroundBank, ForegroundBank

__all__ = ["Measured", "Pool", "Quota", "read_placements", "write_placements"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was known of each composite when it was harvested."""

    cycle: Int64[np.ndarray, " b"]
    label: Int64[np.ndarray, " b"]  # class of its first object
    hardness: Float64[np.ndarray, " b"]  # 1 - p, p the target's probability of the truth then
    hard: np.ndarray  # bool: did it count as hard

    @staticmethod
    def join(parts: Sequence["Measured"]) -> "Measured":
        """One behind the other."""
        return Measured(
            np.concatenate([part.cycle for part in parts]),
            np.concatenate([part.label for part in parts]),
            np.concatenate([part.hardness for part in parts]),
            np.concatenate([part.hard for part in parts]),
        )

    def take(self, rows: np.ndarray) -> "Measured":
        """Some of them."""
        return Measured(self.cycle[rows], self.label[rows], self.hardness[rows], self.hard[rows])


class Quota:
    """How many hard examples of each class a cycle still takes.

    Source: paper A.1 (500 a class) and 4.1 (500 a cycle; spread evenly over the classes is ours).
    """

    def __init__(self, classes: int, per_class: int | None, per_cycle: int | None, uneven: float = 1.0) -> None:
        if per_class is not None:
            self.room = np.full(classes, per_class, dtype=np.int64)
            self.total = per_class * classes
        else:
            self.total = per_cycle or 0
            share = np.full(classes, self.total // classes, dtype=np.int64)
            share[: self.total % classes] += 1
            self.room = np.floor(share * uneven).astype(np.int64)
        self.taken = 0

    @property
    def missing(self) -> int:
        """How many are still wanted."""
        return min(self.total - self.taken, int(self.room.sum()))

    def accept(self, labels: Int64[np.ndarray, " b"], wanted: np.ndarray) -> Int64[np.ndarray, " k"]:
        """The rows taken, in index order: wanted ones until their class is full."""
        taken = []
        for label in np.unique(labels[wanted]):
            rows = np.flatnonzero(wanted & (labels == label))[: self.room[label]]
            self.room[label] -= len(rows)
            taken.append(rows)
        rows = np.sort(np.concatenate(taken)) if taken else np.zeros(0, dtype=np.int64)
        over = rows[self.total - self.taken :]
        np.add.at(self.room, labels[over], 1)
        rows = rows[: self.total - self.taken]
        self.taken += len(rows)
        return rows


class Pool:
    """The pool of a run, in memory and as one shard a cycle in its folder."""

    def __init__(self, folder: Path | None, foregrounds: ForegroundBank, backgrounds: BackgroundBank) -> None:
        self.folder = folder
        self._foregrounds = foregrounds
        self._backgrounds = backgrounds
        self._placements: list[Placements] = []
        self._measured: list[Measured] = []

    def __len__(self) -> int:
        return sum(len(part) for part in self._placements)

    @property
    def placements(self) -> Placements:
        """All of them, in the order of the harvest."""
        self._placements = [Placements.join(self._placements)]
        return self._placements[0]

    @property
    def measured(self) -> Measured:
        """What was measured of each, in the same order."""
        self._measured = [Measured.join(self._measured)]
        return self._measured[0]

    def append(self, cycle: int, placements: Placements, measured: Measured) -> None:
        """Add a cycle's harvest, and write its shard before anything else happens."""
        if self.folder is not None:
            path = self.folder / f"cycle-{cycle:04d}.parquet"
            write_placements(path, placements, measured, self._foregrounds, self._backgrounds)
        if len(placements):
            self._placements.append(placements)
            self._measured.append(measured)

    def load(self, cycles: int) -> None:
        """Read the shards of the first cycles back; later ones are from after the checkpoint, and go.

        Raises:
            RunError: a shard is missing.
        """
        assert self.folder is not None
        for path in sorted(self.folder.glob("cycle-*.parquet")):
            if int(path.stem.removeprefix("cycle-")) > cycles:
                path.unlink()
        for cycle in range(1, cycles + 1):
            path = self.folder / f"cycle-{cycle:04d}.parquet"
            if not path.is_file():
                raise RunError(f"{path}: expected the pool's shard of cycle {cycle}, got none; the run cannot go on")
            placements, measured = read_placements(path, self._foregrounds, self._backgrounds)
            if len(placements):
                self._placements.append(placements)
                self._measured.append(measured)


def write_placements(
    path: Path, placements: Placements, measured: Measured, foregrounds: ForegroundBank, backgrounds: BackgroundBank
) -> None:
    """One Parquet file, a row a composite, with sources by key; whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = np.bincount(placements.image_index, minlength=len(placements))
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    size = placements.pose.shape[1]
    flat = pa.array(placements.pose.ravel())
    poses = pa.ListArray.from_arrays(pa.array(np.arange(len(placements.pose) + 1, dtype=np.int32) * size), flat)
    textures = [backgrounds.keys[i] if i >= 0 else None for i in placements.texture]
    pastes = pa.StructArray.from_arrays(
        [
            pa.array([foregrounds.keys[i] for i in placements.foreground], pa.string()),
            poses,
            pa.array(placements.role.astype(np.int8)),
            pa.array(textures, pa.string()),
        ],
        names=["foreground", "pose", "role", "texture"],
    )
    table = pa.table(
        {
            "cycle": pa.array(measured.cycle),
            "label": pa.array(measured.label),
            "hardness": pa.array(measured.hardness),
            "hard": pa.array(measured.hard),
            "background": pa.array([backgrounds.keys[i] for i in placements.background], pa.string()),
            "pastes": pa.ListArray.from_arrays(offsets, pastes),
            "blend": pa.array(placements.blend, pa.string()),
            "seed": pa.array(placements.seed),
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        pq.write_table(table, temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"{path}: expected room to write the pool, got {error.strerror or error}") from None


def read_placements(
    path: Path, foregrounds: ForegroundBank, backgrounds: BackgroundBank
) -> tuple[Placements, Measured]:
    """What `write_placements` wrote.

    Raises:
        DataError: not such a file, or a source that is gone since; it is named.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path).combine_chunks()
        rows = table.column("pastes").combine_chunks()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise DataError(
            f"{path}: expected placements in Parquet, got a file that cannot be read so ({error})"
        ) from None
    lengths = rows.value_lengths().to_numpy(zero_copy_only=False)
    pastes = rows.flatten()
    poses = pastes.field("pose")
    flat = poses.flatten().to_numpy(zero_copy_only=False)
    foreground_of = {key: i for i, key in enumerate(foregrounds.keys)}
    background_of = {key: i for i, key in enumerate(backgrounds.keys)}
    placements = Placements(
        background=_indices(table.column("background").to_pylist(), background_of, path),
        image_index=np.repeat(np.arange(len(table)), lengths),
        foreground=_indices(pastes.field("foreground").to_pylist(), foreground_of, path),
        pose=flat.reshape(len(pastes), -1) if len(pastes) else np.zeros((0, 0)),
        role=pastes.field("role").to_numpy(zero_copy_only=False).astype(np.int64),
        texture=_indices(pastes.field("texture").to_pylist(), background_of, path),
        blend=tuple(table.column("blend").to_pylist()),
        seed=table.column("seed").to_numpy().astype(np.int64),
    )
    names = ("cycle", "label", "hardness", "hard")
    return placements, Measured(*(table.column(name).to_numpy() for name in names))


def _indices(keys: Sequence[str | None], index_of: dict[str, int], path: Path) -> Int64[np.ndarray, " n"]:
    gone = next((key for key in keys if key is not None and key not in index_of), None)
    if gone is not None:
        raise DataError(f"{path}: expected the source {gone}, got none of that name; it is gone since the placement")
    return np.array([-1 if key is None else index_of[key] for key in keys], dtype=np.int64)
