"""The one schema of placements files: written and read again, edited by hand, of another version."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from terse.errors import DataError
from terse.placements import Placements
from terse.placements_table import describe, from_table, read_table, rows_of, to_table
from terse.poses import AffinePoses
from terse.poses.chain import Chain
from terse.poses.family import PoseFamily
from test_placements import equal, example

AFFINE = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))


class Fog(PoseFamily):
    """A family of the whole picture."""

    kind, names, ranges, neutral, on = "fog", ("depth",), ((0.0, 1.0),), (0.0,), "image"


class Bank:
    """Sources that are names."""

    def __init__(self, keys, licence, sha256):
        self.keys, self._licence, self._sha256 = tuple(keys), licence, sha256

    def class_of(self, index):
        return "thing"

    def licence(self, index):
        return self._licence

    def sha256(self, index):
        return self._sha256.format(index)

    def index(self, key, sha256, where):
        assert sha256 in (None, self.sha256(self.keys.index(key)))
        return self.keys.index(key)


class Names:
    """A pair of them."""

    foregrounds = Bank("abcde", "CC0", "sum of {}")
    backgrounds = Bank("xyz", "", "")


def table_of(placements, poses=AFFINE):
    return to_table(placements, poses, Names(), {"settings": {}})


def plain():
    return replace(example(), image_pose=np.zeros((3, 0)))


def test_every_field_is_written_and_read():
    chain = Chain([AFFINE, Fog()])
    table = table_of(example(), chain)
    assert equal(from_table(table, chain, Names(), "here"), example())
    assert [name for name in table.column_names if "." in name] == [
        "0.affine.rotation_deg",
        "0.affine.shift_x",
        "0.affine.shift_y",
        "0.affine.shear",
        "0.affine.scale_x",
        "0.affine.scale_y",
        "image.1.fog.depth",
    ]
    assert table.column("image.1.fog.depth").to_pylist() == [0.5, 0.5, 0.25, 0.25, 0.125]
    assert table.column("width").to_pylist() == [64, 64, 65, 65, 66]


def test_what_is_not_known_is_null():
    bare = Placements.single(np.array([0, 1]), np.array([1, 0]), np.zeros((2, 6)))
    table = table_of(bare)
    for name in ("width", "height", "cycle", "label", "hardness", "hard", "texture"):
        assert table.column(name).to_pylist() == [None, None], name
    assert equal(from_table(table, AFFINE, Names(), "here"), replace(bare, number=np.arange(2)))


def test_a_table_without_images_is_one():
    none = Placements.empty(6)
    assert equal(from_table(table_of(none), AFFINE, Names(), "here"), none)


def test_rows_in_any_order_and_as_pandas_leaves_them():
    table = table_of(plain())
    turned = table.take(pa.array([4, 0, 2, 1, 3])).set_column(
        table.column_names.index("seed"), "seed", pa.array([9.0, 7.0, 8.0, 7.0, 8.0])
    )
    assert equal(from_table(turned, AFFINE, Names(), "here"), plain())
    assert len(from_table(rows_of(turned, [20, 30]), AFFINE, Names(), "here")) == 2


def test_a_row_that_cannot_be_drawn_is_named():
    rows = table_of(plain()).to_pylist()
    rows[2]["0.affine.shear"] = None
    with pytest.raises(DataError) as error:
        from_table(pa.Table.from_pylist(rows, table_of(plain()).schema), AFFINE, Names(), "here")
    pose = example().pose[2].tolist()
    pose[3] = float("nan")
    assert str(error.value) == (
        "here: image 20: expected a finite pose and a role of object, distractor, artefact, occluder, "
        f"got {pose} and 'artefact'; correct the row"
    )
    lacking = table_of(plain()).drop_columns(["0.affine.shear"])
    with pytest.raises(DataError) as error:
        from_table(lacking, AFFINE, Names(), "here")
    assert str(error.value) == "here: expected the pose's columns, got none named 0.affine.shear"


@pytest.mark.parametrize(("name", "value"), [("height", None), ("height", -1), ("width", 0)])
def test_a_picture_without_one_of_its_sides_is_named(name, value):
    table = table_of(replace(plain(), size_px=np.full((3, 2), 40)))
    table = table.set_column(table.column_names.index(name), name, pa.array([value] * len(table), pa.int64()))
    size = [40 if side != name else -1 if value is None else value for side in ("width", "height")]
    with pytest.raises(DataError) as error:
        from_table(table, AFFINE, Names(), "here")
    assert str(error.value) == (
        f"here: image 10: expected a width and a height of 1 px or more, or neither, got {size}; correct the row"
    )


@pytest.mark.parametrize("values", [[None] * 5, [float("nan")] * 5, ["a"] * 5])
def test_rows_without_the_number_of_their_image_are_refused(tmp_path, values):
    table = table_of(plain())
    pq.write_table(table.set_column(0, "image", pa.array(values)), tmp_path / "p.parquet")
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "p.parquet")
    assert str(error.value) == (
        f"{tmp_path / 'p.parquet'}: image: expected a number in each row, got others; correct the rows"
    )


@pytest.mark.parametrize("beside", [False, True])
def test_another_version_s_file_is_refused_also_where_pandas_dropped_the_metadata(beside, tmp_path):
    table, about = table_of(plain()), {"format": 3, "settings": {}}
    metadata = None if beside else {"terse": json.dumps(about)}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "p.parquet")
    if beside:
        (tmp_path / "manifest.json").write_text(json.dumps({"about": about}))
    with pytest.raises(DataError) as error:
        read_table(tmp_path / "p.parquet")
    assert str(error.value) == (
        f"{tmp_path / 'p.parquet'}: expected placements of format 1 or 2, got 3; "
        "read it with the version of terse that wrote it"
    )


def test_a_placement_is_described_by_names():
    shown = describe(example(), 1, Chain([AFFINE, Fog()]), Names())
    pose = dict(zip(AFFINE.names, example().pose[2].tolist(), strict=True))
    assert shown["pastes"][0] == {"foreground": "d", "pose": pose, "role": "artefact", "texture": "z"}
    assert "role" not in shown["pastes"][1]
    assert (shown["background"], shown["blend"], shown["seed"]) == ("x", "poisson", 8)
    assert shown["image_pose"] == {"depth": 0.25}
    assert "image_pose" not in describe(plain(), 1, AFFINE, Names())
