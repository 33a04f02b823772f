"""Placements by name: what is drawn where, one row a paste, in a Parquet table that pandas can edit."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64

from terse.errors import DataError
from terse.placements import Placements, Role

__all__ = ["Paste", "Planned", "as_placements", "from_table", "read_table", "to_table"]

_ROLES = {
    Role.OBJECT: "object",
    Role.DISTRACTOR: "distractor",
    Role.ARTEFACT: "artefact",
}
_FIXED = (
    "image",
    "role",
    "class",
    "background",
    "foreground",
    "texture",
    "blend",
    "seed",
    "width",
    "height",
)


@dataclass(frozen=True, slots=True)
class Paste:
    """One foreground under one pose."""

    foreground: int
    pose: Float64[np.ndarray, " k"]
    role: Role = Role.OBJECT
    texture: int = -1


@dataclass(frozen=True, slots=True)
class Planned:
    """One image before it is drawn. Pastes stand in z-order, first is lowest."""

    number: int
    background: int
    size_px: tuple[int, int]  # width, height
    blend: str
    seed: int
    pastes: tuple[Paste, ...]
    hardness: float | None = None


def as_placements(images: Sequence[Planned], pose_size: int) -> Placements:
    """The batch that the networks read."""
    pastes = [paste for image in images for paste in image.pastes]
    poses = [paste.pose for paste in pastes]
    return Placements(
        background=np.array([image.background for image in images], dtype=np.int64),
        image_index=np.repeat(np.arange(len(images)), [len(image.pastes) for image in images]),
        foreground=np.array([paste.foreground for paste in pastes], dtype=np.int64),
        pose=np.stack(poses) if poses else np.zeros((0, pose_size)),
        role=np.array([int(paste.role) for paste in pastes], dtype=np.int64),
        texture=np.array([paste.texture for paste in pastes], dtype=np.int64),
        blend=tuple(image.blend for image in images),
        seed=np.array([image.seed for image in images], dtype=np.int64),
    )


def to_table(
    images: Sequence[Planned],
    names: Sequence[str],
    sources: Any,
    about: Mapping[str, Any],
) -> pa.Table:
    """A row a paste, in z-order; an image without pastes has one row without a foreground.

    Args:
        images: in the order of their numbers.
        names: of the pose's components.
        sources: a `Material`: keys, classes, licences and contents' hashes.
        about: what is needed to draw them again, kept in the file's metadata.
    """
    rows = [(image, paste) for image in images for paste in (image.pastes or (None,))]
    cut = [paste.foreground if paste else None for _, paste in rows]
    poses = [[paste.pose[k] if paste else None for _, paste in rows] for k in range(len(names))]
    table = pa.table(
        {
            "image": pa.array([image.number for image, _ in rows], pa.int64()),
            "role": pa.array(
                [_ROLES[paste.role] if paste else None for _, paste in rows],
                pa.string(),
            ),
            "class": pa.array([None if i is None else sources.class_of(i) for i in cut], pa.string()),
            "background": pa.array(
                [sources.background_keys[image.background] for image, _ in rows],
                pa.string(),
            ),
            "foreground": pa.array(
                [None if i is None else sources.foreground_keys[i] for i in cut],
                pa.string(),
            ),
            "texture": pa.array(
                [sources.background_keys[p.texture] if p and p.texture >= 0 else None for _, p in rows],
                pa.string(),
            ),
            **{name: pa.array(column, pa.float64()) for name, column in zip(names, poses, strict=True)},
            "blend": pa.array([image.blend for image, _ in rows], pa.string()),
            "seed": pa.array([image.seed for image, _ in rows], pa.int64()),
            "width": pa.array([image.size_px[0] for image, _ in rows], pa.int64()),
            "height": pa.array([image.size_px[1] for image, _ in rows], pa.int64()),
            "hardness": pa.array([image.hardness for image, _ in rows], pa.float64()),
            "background_licence": pa.array([sources.background_licence(i.background) for i, _ in rows], pa.string()),
            "foreground_licence": pa.array([None if i is None else sources.foreground_licence(i) for i in cut]),
            "background_sha256": pa.array([sources.background_sha256(i.background) for i, _ in rows], pa.string()),
            "foreground_sha256": pa.array([None if i is None else sources.foreground_sha256(i) for i in cut]),
        }
    )
    fields = [pa.field(f.name, pa.string()) if pa.types.is_null(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields)).replace_schema_metadata({"terse": json.dumps(dict(about), sort_keys=True)})


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A placements file, and what its metadata says of the set.

    Raises:
        DataError: not such a file.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected a placements file, got none; `terse generate` writes placements.parquet")
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: expected placements in Parquet, got: {' '.join(str(error).split())}") from None
    missing = [name for name in _FIXED if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: expected the columns {', '.join(_FIXED)}, got none named {', '.join(missing)}")
    about = (table.schema.metadata or {}).get(b"terse")
    manifest = path.parent / "manifest.json"
    if about is not None:
        return table, json.loads(about)
    if manifest.is_file():  # pandas drops the metadata
        return table, json.loads(manifest.read_text("utf-8"))["about"]
    raise DataError(
        f"{path}: expected metadata that says what the set was made from, or a manifest.json beside the file, got neither; "
        "leave an edited copy in the set's folder"
    )


def from_table(table: pa.Table, names: Sequence[str], sources: Any, where: str) -> Iterator[Planned]:
    """The images of a table, by number; edited values are read as they stand.

    Raises:
        DataError: a source that is gone or has other contents, or a value that cannot be drawn; it is named.
    """
    order = np.argsort(table.column("image").to_numpy(), kind="stable")
    rows = table.take(pa.array(order)).to_pylist()
    roles = {name: role for role, name in _ROLES.items()}
    first = 0
    while first < len(rows):
        last = first
        while last < len(rows) and rows[last]["image"] == rows[first]["image"]:
            last += 1
        head, group = (
            rows[first],
            [row for row in rows[first:last] if row["foreground"] is not None],
        )
        pastes = []
        for row in group:
            pose = np.array(
                [np.nan if row[name] is None else row[name] for name in names],
                dtype=np.float64,
            )
            if not np.isfinite(pose).all() or row["role"] not in roles:
                raise DataError(
                    f"{where}: image {row['image']}: expected a finite pose and a role of {', '.join(roles)}, "
                    f"got {pose.tolist()} and {row['role']!r}; correct the row"
                )
            cut = sources.foreground_index(row["foreground"], row.get("foreground_sha256"), where)
            texture = sources.background_index(row["texture"], None, where) if row["texture"] else -1
            pastes.append(Paste(cut, pose, roles[row["role"]], texture))
        background = sources.background_index(head["background"], head.get("background_sha256"), where)
        size_px = int(head["width"]), int(head["height"])
        yield Planned(
            int(head["image"]),
            background,
            size_px,
            str(head["blend"]),
            int(head["seed"]),
            tuple(pastes),
            head.get("hardness"),
        )
        first = last
