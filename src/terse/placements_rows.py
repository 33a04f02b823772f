"""What the rows of a table of placements say in numbers, each checked as it is read: an edited table may hold anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from terse.errors import DataError
from terse.placements import Role
from terse.poses.family import PoseFamily

__all__ = ["ROLES", "Rows", "image_columns", "missing_poses", "refuse_poses_without_area", "values_of", "whole_images"]

ROLES = {int(role): role.name.lower() for role in Role}
_OF_IMAGE = "image."
_SAME = ("background", "blend", "seed", "width", "height")
_TOGETHER = 4096  # poses that are looked at together
_CORNERS = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])


@dataclass(frozen=True, slots=True)
class Rows:
    """A table's numbers, image by image.

    Attributes:
        head: the first row of each image, which says what is the same for all of it.
        pasted: the rows with a foreground.
        number: of each image.
        image_index: the image of each paste.
    """

    head: pa.Table
    pasted: pa.Table
    number: Int64[np.ndarray, " images"]
    image_index: Int64[np.ndarray, " pastes"]
    pose: Float64[np.ndarray, "pastes k"]
    role: Int64[np.ndarray, " pastes"]
    image_pose: Float64[np.ndarray, "images m"]
    size_px: Int64[np.ndarray, "images 2"]
    seed: Int64[np.ndarray, " images"]
    cycle: Int64[np.ndarray, " images"]
    label: Int64[np.ndarray, " images"]
    hardness: Float64[np.ndarray, " images"]

    @staticmethod
    def of(table: pa.Table, poses: PoseFamily, where: str) -> Rows:
        """Read a table whose images have numbers.

        Raises:
            DataError: a value that cannot be drawn, or rows of one image that disagree on it; image and column are named.
        """
        missing = missing_poses(table, poses)
        if missing:
            raise DataError(f"{where}: expected the pose's columns, got none named {', '.join(missing)}")
        table = table.take(pa.array(np.argsort(table.column("image").to_numpy(), kind="stable")))
        numbers, first, group = np.unique(table.column("image").to_numpy(), return_index=True, return_inverse=True)
        rows = np.flatnonzero(np.array([key is not None for key in table.column("foreground").to_pylist()], dtype=bool))
        head, pasted = table.take(pa.array(first)), table.take(pa.array(rows))
        of_image = [name for name in image_columns(poses) if name in table.column_names]
        found = Rows(
            head,
            pasted,
            numbers.astype(np.int64),
            group[rows].astype(np.int64),
            _matrix(pasted, [_pose_column(table, name, k) for k, name in enumerate(poses.columns)], where),
            _roles(pasted, where),
            _matrix(head, of_image, where),
            _sizes(head, where),
            _integers(head, "seed", where),
            _integers(head, "cycle", where),
            _integers(head, "label", where),
            _floats(head, "hardness", where, known=False),
        )
        _refuse_unlike(table, first[group].tolist(), [*_SAME, *of_image], where)
        return found


def missing_poses(table: pa.Table, poses: PoseFamily) -> list[str]:
    """The pose's columns that the table has under no name."""
    return [name for k, name in enumerate(poses.columns) if _pose_column(table, name, k) not in table.column_names]


def image_columns(poses: PoseFamily) -> tuple[str, ...]:
    """The columns of the whole picture's poses."""
    return () if poses.image is None else tuple(_OF_IMAGE + name for name in poses.image.columns)


def whole_images(table: pa.Table, where: str) -> pa.Table:
    """The table with the numbers of its images as integers.

    Raises:
        DataError: a row without one.
    """
    values = table.column("image").to_pylist()
    numbers = [None if isinstance(value, str | bool) else _whole(value) for value in values]
    for value, number in zip(values, numbers, strict=True):
        if number is None or number < 0:
            got = "none" if value is None else repr(value)
            raise DataError(f"{where}: image: expected a whole number >= 0 in each row, got {got}; correct the rows")
    return table.set_column(table.column_names.index("image"), "image", pa.array(numbers, pa.int64()))


def refuse_poses_without_area(rows: Rows, poses: PoseFamily, where: str) -> None:
    """Look at the map of every pose; the raster path's are in single precision.

    Raises:
        DataError: one that leaves nothing of a foreground, or has no end; its image is named.
    """
    for first in range(0, len(rows.pose), _TOGETHER):
        some = rows.pose[first : first + _TOGETHER]
        bad = np.flatnonzero(~_have_area(some, poses))
        if len(bad):
            row = first + int(bad[0])
            values = zip(poses.columns, rows.pose[row].tolist(), strict=True)
            raise DataError(
                f"{where}: image {rows.number[rows.image_index[row]]}: expected a pose under which the object has an area, "
                f"got {', '.join(f'{name} {value:g}' for name, value in values)}; correct the row"
            )


def values_of(table: pa.Table, name: str) -> list[Any]:
    """The values of a column; None in each row where there is no such column."""
    return table.column(name).to_pylist() if name in table.column_names else [None] * len(table)


@np.errstate(all="ignore")
def _have_area(pose: Float64[np.ndarray, "n k"], poses: PoseFamily) -> Bool[np.ndarray, " n"]:
    hull, sizes_px = np.tile(_CORNERS, (len(pose), 1, 1)), [(1, 1)] * len(pose)
    if isinstance(poses.raster(pose[:1], hull[:1], sizes_px[:1])[0].where, np.ndarray):
        maps = np.array([np.asarray(one.where, dtype=np.float64) for one in poses.raster(pose, hull, sizes_px)])
        determinant = maps[:, 0, 0] * maps[:, 1, 1] - maps[:, 0, 1] * maps[:, 1, 0]
        return np.asarray(np.isfinite(maps).all(axis=(1, 2)) & (determinant != 0))
    boxes = poses.boxes(pose, hull, np.array(sizes_px))  # of all at once: a map each takes six times as long
    ends = np.isfinite(boxes.astype(np.float32)).all(axis=1)
    return np.asarray(ends & (boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def _pose_column(table: pa.Table, name: str, place: int) -> str:
    """What the table calls a column of the pose: format 1 left out position and kind, its pools the name as well."""
    return next(
        (known for known in (name, name.rsplit(".", maxsplit=1)[-1], f"pose.{place}") if known in table.column_names),
        name,
    )


def _roles(pasted: pa.Table, where: str) -> Int64[np.ndarray, " n"]:
    of_role, names = {name: role for role, name in ROLES.items()}, pasted.column("role").to_pylist()
    for row, name in enumerate(names):
        if name not in of_role:
            raise _refused(pasted, row, "role", f"one of {', '.join(of_role)}", name, where)
    return np.array([of_role[name] for name in names], dtype=np.int64)


def _sizes(head: pa.Table, where: str) -> Int64[np.ndarray, "n 2"]:
    size_px = np.stack([_integers(head, "width", where), _integers(head, "height", where)], axis=1)
    bad = np.flatnonzero((size_px < 1).any(axis=1) & (size_px != -1).any(axis=1))
    if len(bad):
        k = int(bad[0])
        raise DataError(
            f"{where}: image {head.column('image')[k]}: expected a width and a height of 1 px or more, or neither, got "
            f"{size_px[k].tolist()}; correct the row"
        )
    return size_px


def _matrix(table: pa.Table, names: Sequence[str], where: str) -> Float64[np.ndarray, "n k"]:
    columns = [_floats(table, name, where) for name in names]
    return np.stack(columns, axis=1) if columns else np.zeros((len(table), 0))


def _floats(table: pa.Table, name: str, where: str, *, known: bool = True) -> Float64[np.ndarray, " n"]:
    """A column of numbers; NaN where it has none, which `known` refuses."""
    values = values_of(table, name)
    found = np.array([_number(value) for value in values], dtype=np.float64)
    for row in np.flatnonzero(~np.isfinite(found)).tolist():
        if known or not (values[row] is None or values[row] != values[row]):
            raise _refused(table, row, name, "a finite number", values[row], where)
    return found


def _integers(table: pa.Table, name: str, where: str) -> Int64[np.ndarray, " n"]:
    """A column of whole numbers; -1 where it has none."""
    values = values_of(table, name)
    found = [-1 if value is None else _whole(value) for value in values]
    if None in found:
        row = found.index(None)
        raise _refused(table, row, name, "a whole number", values[row], where)
    return np.array(found, dtype=np.int64)


def _refuse_unlike(table: pa.Table, first: Sequence[int], names: Sequence[str], where: str) -> None:
    """What belongs to an image stands in all its rows, and only the first row's is read."""
    for name in names:
        values = table.column(name).to_pylist()
        for row, at in enumerate(first):
            if values[row] != values[at]:
                raise DataError(
                    f"{where}: image {table.column('image')[row]}: {name}: expected the same in all rows of the image, got "
                    f"{values[at]!r} and {values[row]!r}; correct the rows"
                )


def _refused(table: pa.Table, row: int, name: str, wanted: str, got: Any, where: str) -> DataError:
    number = table.column("image")[row]
    return DataError(f"{where}: image {number}: {name}: expected {wanted}, got {got!r}; correct the row")


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return float("nan")


def _whole(value: Any) -> int | None:
    """The integer that a value is, or says in digits; None where it is none of 64 bits."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    whole = isinstance(value, str) or number == value
    return number if whole and -(1 << 63) <= number < 1 << 63 else None
