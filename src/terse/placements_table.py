"""Placements as a Parquet table, a row a paste: pool shards, sets and `terse render` read and write this one schema.

pandas can edit it. Sources stand by key, poses in the columns that their family names, those of the whole picture
behind `image.`. The metadata say the format and what the placements were made from.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from terse.errors import DataError, reason_of
from terse.placements import Placements, Role
from terse.placements_rows import (
    ROLES,
    Rows,
    image_columns,
    missing_poses,
    refuse_poses_without_area,
    values_of,
    whole_images,
)
from terse.pool_shards import shards_in
from terse.poses.family import PoseFamily

__all__ = [
    "FORMAT",
    "Sources",
    "check_rows",
    "describe",
    "from_table",
    "missing_poses",
    "read_table",
    "rows_of",
    "sized",
    "to_table",
]

FORMAT = 2
_PLAIN_NAMES = 1  # pose columns without position and kind; pools kept lists of pastes instead of rows
_FIXED = ("image", "role", "class", "background", "foreground", "texture", "blend", "seed", "width", "height")
_METADATA = b"terse"


class Numbered(Protocol):
    """One bank: what a table says of its images; empty strings where something is not known."""

    @property
    def keys(self) -> Sequence[str]: ...
    def licence(self, index: int) -> str: ...
    def sha256(self, index: int) -> str: ...
    def index(self, key: str, sha256: str | None, where: str) -> int: ...


class NumberedForegrounds(Numbered, Protocol):
    """The bank of foregrounds."""

    def class_of(self, index: int) -> str: ...


class Sources(Protocol):
    """The pair of banks that placements number."""

    @property
    def foregrounds(self) -> NumberedForegrounds: ...  # noqa: D102
    @property
    def backgrounds(self) -> Numbered: ...  # noqa: D102


def to_table(placements: Placements, poses: PoseFamily, sources: Sources, about: Mapping[str, Any]) -> pa.Table:
    """A row a paste, in z-order; an image without pastes has one row without a foreground.

    Args:
        placements: images without a number get their place in the batch.
        poses: names the columns.
        sources: of foregrounds and backgrounds.
        about: what is needed to draw them again, kept in the file's metadata.
    """
    p, counts = placements, np.diff(placements.offsets)
    image = np.repeat(np.arange(len(p)), np.maximum(counts, 1))
    bare = counts[image] == 0
    paste = np.zeros(len(image), dtype=np.int64)
    paste[~bare] = np.arange(len(p.foreground))
    number = np.where(p.number >= 0, p.number, np.arange(len(p)))

    def of_image(values: Sequence[Any] | np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
        taken = np.asarray(values)[image]
        return pa.array(taken, mask=None if missing is None else missing[image])

    def of_paste(values: np.ndarray) -> pa.Array:
        filled = values if len(values) else np.zeros(1, dtype=values.dtype)
        return pa.array(filled[paste], mask=bare)

    def texts(numbers: np.ndarray, name: Callable[[int], str], missing: np.ndarray) -> pa.Array:
        known = {i: name(i) for i in np.unique(numbers[~missing]).tolist()}
        return pa.array([None if m else known[i] for i, m in zip(numbers.tolist(), missing, strict=True)], pa.string())

    def rows(values: np.ndarray) -> np.ndarray:
        return np.asarray(values[paste]) if len(values) else np.full(len(paste), -1)

    cut, background, texture, role = rows(p.foreground), p.background[image], rows(p.texture), rows(p.role)
    never = np.zeros(len(image), dtype=bool)
    of_picture = image_columns(poses)
    if p.image_pose.shape[1] != len(of_picture):
        assert not p.image_pose.shape[1], "a pose of the picture that the family does not know"
        of_picture = ()
    table = pa.table(
        {
            "image": of_image(number),
            "role": texts(role, ROLES.__getitem__, bare),
            "class": texts(cut, sources.foregrounds.class_of, bare),
            "background": texts(background, sources.backgrounds.keys.__getitem__, never),
            "foreground": texts(cut, sources.foregrounds.keys.__getitem__, bare),
            "texture": texts(texture, sources.backgrounds.keys.__getitem__, bare | (texture < 0)),
            **{name: of_paste(column) for name, column in zip(poses.columns, p.pose.T, strict=True)},
            **{name: of_image(column) for name, column in zip(of_picture, p.image_pose.T, strict=True)},
            "blend": pa.array([p.blend[i] for i in image.tolist()], pa.string()),
            "seed": of_image(p.seed),
            "width": of_image(p.size_px[:, 0], p.size_px[:, 0] < 0),
            "height": of_image(p.size_px[:, 1], p.size_px[:, 1] < 0),
            "cycle": of_image(p.cycle, p.cycle < 0),
            "label": of_image(p.label, p.label < 0),
            "hardness": of_image(p.hardness, np.isnan(p.hardness)),
            "hard": of_image(p.hard, p.cycle < 0),
            "background_licence": texts(background, sources.backgrounds.licence, never),
            "foreground_licence": texts(cut, sources.foregrounds.licence, bare),
            "background_sha256": texts(background, sources.backgrounds.sha256, never),
            "foreground_sha256": texts(cut, sources.foregrounds.sha256, bare),
        }
    )
    return table.replace_schema_metadata({_METADATA: json.dumps({**about, "format": FORMAT}, sort_keys=True)})


def read_table(path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """A file of placements, or a run's `pool` of them, and what the metadata say; `run` is a run's folder without any.

    Raises:
        DataError: not such a file, or one of another version.
    """
    if path.is_dir() and (shards := list(shards_in(path).values())):
        tables, (*_, about) = zip(*map(read_table, shards), strict=True)
        return pa.concat_tables(tables).combine_chunks(), about
    if not path.is_file():
        raise DataError(f"{path}: expected a placements file, got none; `terse generate` writes placements.parquet")
    try:
        # `read_table` would load Arrow's data sets and file systems first, and some paths are URLs to it.
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            table = file.read().combine_chunks()
        table.validate(full=True)
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected placements in Parquet, got a file that cannot be read so ({reason_of(error)})"
        ) from None
    about = _about(path, (table.schema.metadata or {}).get(_METADATA))
    if about.get("format", _PLAIN_NAMES) not in (_PLAIN_NAMES, FORMAT):
        raise DataError(
            f"{path}: expected placements of format {_PLAIN_NAMES} or {FORMAT}, got {about['format']}; "
            "read it with the version of terse that wrote it"
        )
    if "pastes" in table.column_names:
        table = _rows_of_lists(table)
    missing = [name for name in _FIXED if name not in table.column_names]
    if missing:
        raise DataError(f"{path}: expected the columns {', '.join(_FIXED)}, got none named {', '.join(missing)}")
    return whole_images(table, str(path)), about


def from_table(table: pa.Table, poses: PoseFamily, sources: Sources, where: str) -> Placements:
    """The images of a table, by number; edited values are read as they stand.

    Raises:
        DataError: a source that is gone or has other contents, a value that cannot be drawn, or rows of one image that
            disagree on it; it is named.
    """
    rows = Rows.of(table, poses, where)
    head, pasted = rows.head, rows.pasted
    keys = pasted.column("foreground").to_pylist()
    shas = values_of(pasted, "foreground_sha256")
    foregrounds = [sources.foregrounds.index(key, sha, where) for key, sha in zip(keys, shas, strict=True)]
    for key, index, name in zip(keys, foregrounds, values_of(pasted, "class"), strict=True):
        if name is not None and name != sources.foregrounds.class_of(index):
            raise DataError(
                f"{where}: expected {key} to be of the class {name}, got {sources.foregrounds.class_of(index)}; restore the "
                "annotations, or correct or empty the rows' class"
            )
    backgrounds = zip(head.column("background").to_pylist(), values_of(head, "background_sha256"), strict=True)
    textures = [sources.backgrounds.index(t, None, where) if t else -1 for t in pasted.column("texture").to_pylist()]
    return Placements(
        background=np.array([sources.backgrounds.index(key, sha, where) for key, sha in backgrounds], dtype=np.int64),
        image_index=rows.image_index,
        foreground=np.array(foregrounds, dtype=np.int64),
        pose=rows.pose,
        role=rows.role,
        texture=np.array(textures, dtype=np.int64),
        blend=tuple(str(name) for name in head.column("blend").to_pylist()),
        seed=rows.seed,
        number=rows.number,
        size_px=rows.size_px,
        image_pose=rows.image_pose,
        cycle=rows.cycle,
        label=rows.label,
        hardness=rows.hardness,
        hard=np.array([bool(value) for value in values_of(head, "hard")], dtype=bool),
    )


def check_rows(table: pa.Table, poses: PoseFamily, where: str) -> None:
    """Refuse an edited table before anything is drawn of it; no source is looked at.

    Raises:
        DataError: as `from_table`, or a pose that leaves nothing of its foreground.
    """
    refuse_poses_without_area(Rows.of(table, poses, where), poses, where)


def rows_of(table: pa.Table, numbers: Sequence[int] | Int64[np.ndarray, " n"]) -> pa.Table:
    """The rows of these images."""
    return table.filter(pa.array(np.isin(table.column("image").to_numpy(), np.asarray(numbers))))


def sized(table: pa.Table, side_px: int) -> pa.Table:
    """The table with square canvases of this side where it names none."""
    for name in ("width", "height"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table.column(name).fill_null(side_px))
    return table


def describe(placements: Placements, image: int, poses: PoseFamily, sources: Sources) -> dict[str, Any]:
    """One image's placement with names instead of numbers, to be shown."""
    pastes = []
    first, end = np.searchsorted(placements.image_index, (image, image + 1)).tolist()
    for row in range(first, end):
        paste: dict[str, Any] = {
            "foreground": sources.foregrounds.keys[int(placements.foreground[row])],
            "pose": dict(zip(poses.names, placements.pose[row].tolist(), strict=True)),
        }
        if placements.role[row] != Role.OBJECT:
            paste["role"] = ROLES[int(placements.role[row])]
        if placements.texture[row] >= 0:
            paste["texture"] = sources.backgrounds.keys[int(placements.texture[row])]
        pastes.append(paste)
    of_image = placements.image_pose[image].tolist()
    picture = {"image_pose": dict(zip(poses.image.names, of_image, strict=True))} if poses.image and of_image else {}
    return {
        "background": sources.backgrounds.keys[int(placements.background[image])],
        "pastes": pastes,
        **picture,
        "blend": placements.blend[image],
        "seed": int(placements.seed[image]),
    }


def _about(path: Path, written: bytes | None) -> dict[str, Any]:
    """The file's metadata; else those of the set or of the run that it stands in: pandas drops them."""
    manifest, run = path.parent / "manifest.json", path.parent.parent
    try:
        if written is not None:
            return dict(json.loads(written))
        if manifest.is_file():
            return dict(json.loads(manifest.read_text("utf-8"))["about"])
    except (ValueError, KeyError, TypeError):
        where = path if written is not None else manifest
        raise DataError(f"{where}: expected what the set was made from, as JSON, got other bytes; restore it") from None
    if (run / "recipe.yaml").is_file():
        return {"run": str(run)}
    raise DataError(
        f"{path}: expected metadata that says what the set was made from, or a manifest.json beside the file, got "
        "neither; leave an edited copy in the set's folder"
    )


def _rows_of_lists(table: pa.Table) -> pa.Table:
    """A pool of format 1, a row an image with lists of pastes, as rows of pastes."""
    pastes = table.column("pastes").combine_chunks()
    counts = pastes.value_lengths().to_numpy(zero_copy_only=False)
    flat = pastes.flatten()
    image = np.repeat(np.arange(len(table)), counts)
    bare = np.flatnonzero(counts == 0)
    lists = flat.field("pose")
    size = len(lists[0]) if len(lists) else 0
    poses = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(flat), size)
    of_paste = {
        "role": pa.array([ROLES[role] for role in flat.field("role").to_pylist()], pa.string()),
        "foreground": flat.field("foreground"),
        "texture": flat.field("texture"),
        "class": pa.nulls(len(flat), pa.string()),
        **{f"pose.{k}": pa.array(poses[:, k]) for k in range(size)},
    }
    every = np.concatenate([image, bare])
    names = ("background", "blend", "seed", "cycle", "label", "hardness", "hard")
    return pa.table(
        {
            "image": pa.array(every),
            **{name: pa.concat_arrays([c, pa.nulls(len(bare), c.type)]) for name, c in of_paste.items()},
            **{name: table.column(name).take(pa.array(every)) for name in names},
            "width": pa.nulls(len(every), pa.int64()),
            "height": pa.nulls(len(every), pa.int64()),
        }
    )
