"""The one schema of placements files: written and read again, edited by hand, of another version."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from terse.errors import DataError
from terse.placements import Placements
from terse.placements_table import check_rows, describe, from_table, read_table, rows_of, to_table
from terse.poses import AffinePoses
from terse.poses.chain import Chain
from terse.poses.family import PoseFamily
from terse.poses.perspective import PerspectivePoses
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


def edited(name, values, placements=None):
    """The table, and these values in the column, in the rows of their numbers."""
    table = table_of(placements or plain())
    column = table.column(name).to_pylist()
    for row, value in values.items():
        column[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(column))


def told(read, *args):
    with pytest.raises(DataError) as error:
        read(*args)
    return str(error.value)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_row_that_cannot_be_drawn_is_named(value):
    table = edited("0.affine.shear", {2: value})
    assert told(from_table, table, AFFINE, Names(), "here") == (
        f"here: image 20: 0.affine.shear: expected a finite number, got {value}; correct the row"
    )
    lacking = table_of(plain()).drop_columns(["0.affine.shear"])
    assert told(from_table, lacking, AFFINE, Names(), "here") == (
        "here: expected the pose's columns, got none named 0.affine.shear"
    )


def test_a_role_that_is_none_is_named():
    assert told(from_table, edited("role", {2: "x"}), AFFINE, Names(), "here") == (
        "here: image 20: role: expected one of object, distractor, artefact, occluder, got 'x'; correct the row"
    )


@pytest.mark.parametrize("name", ["0.affine.shear", "hardness"])
def test_texts_among_numbers_are_named(name):
    texts = dict.fromkeys(range(5), "0.5") | {2: "a", 3: "a"}
    table = edited(name, texts)
    assert told(from_table, table, AFFINE, Names(), "here") == (
        f"here: image 20: {name}: expected a finite number, got 'a'; correct the row"
    )


@pytest.mark.parametrize("name", ["seed", "width", "cycle"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.5, 1e300])
def test_what_is_no_whole_number_is_named(name, value):
    table = edited(name, dict.fromkeys(range(5), 40.0) | {2: value, 3: value})
    assert told(from_table, table, AFFINE, Names(), "here") == (
        f"here: image 20: {name}: expected a whole number, got {value!r}; correct the row"
    )


def test_whole_numbers_as_texts_are_read_and_other_texts_named():
    table = edited("seed", dict.fromkeys(range(5), str(2**63 - 1)))
    assert from_table(table, AFFINE, Names(), "here").seed.tolist() == [2**63 - 1] * 3
    assert told(from_table, edited("seed", dict.fromkeys(range(5), "a")), AFFINE, Names(), "here") == (
        "here: image 10: seed: expected a whole number, got 'a'; correct the row"
    )


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("blend", "poisson", "alpha"),
        ("background", "y", "z"),
        ("seed", 3, 7),
        ("width", 3, 64),
        ("height", None, 48),
    ],
)
def test_rows_of_one_image_that_disagree_on_it_are_refused(name, value, known):
    assert told(from_table, edited(name, {1: value}), AFFINE, Names(), "here") == (
        f"here: image 10: {name}: expected the same in all rows of the image, got {known!r} and {value!r}; "
        "correct the rows"
    )


def test_rows_that_disagree_on_the_pose_of_the_picture_are_refused():
    chain = Chain([AFFINE, Fog()])
    table = table_of(example(), chain)
    name = "image.1.fog.depth"
    table = table.set_column(table.column_names.index(name), name, pa.array([0.5, 0.5, 0.25, 0.75, 0.125]))
    assert told(from_table, table, chain, Names(), "here") == (
        f"here: image 20: {name}: expected the same in all rows of the image, got 0.25 and 0.75; correct the rows"
    )


def test_what_was_found_of_an_image_may_be_left_out_of_a_row_that_is_added():
    assert len(from_table(edited("cycle", {1: None}), AFFINE, Names(), "here")) == 3


@pytest.mark.parametrize("scale", [0.0, 1e-39, 1e39])
@pytest.mark.parametrize("chained", [False, True])
def test_a_pose_without_area_is_named(scale, chained):
    poses = Chain([AFFINE, PerspectivePoses(0.2)]) if chained else AFFINE
    pose = np.tile(np.array(poses.pose_of(1, {})), (4, 1))
    pose[3, 4] = scale
    table = table_of(replace(plain(), pose=pose), poses)
    values = [f"{name} {value:g}" for name, value in zip(poses.columns, pose[3], strict=True)]
    assert told(check_rows, table, poses, "here") == (
        f"here: image 20: expected a pose under which the object has an area, got {', '.join(values)}; correct the row"
    )
    pose[3, 4] = -1.0
    check_rows(table_of(replace(plain(), pose=pose), poses), poses, "here")


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


def test_image_numbers_as_pandas_leaves_them_are_whole(tmp_path):
    table = edited("image", dict(enumerate([10.0, 10.0, 20.0, 20.0, 30.0])))
    pq.write_table(table.replace_schema_metadata({"terse": "{}"}), tmp_path / "p.parquet")
    assert read_table(tmp_path / "p.parquet")[0].column("image").to_pylist() == [10, 10, 20, 20, 30]


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ([None] * 5, "none"),
        ([10, 10, float("nan"), 20, 30], "nan"),
        (["a"] * 5, "'a'"),
        ([10, 10, 0.5, 20, 30], "0.5"),
        ([10, 10, -3, 20, 30], "-3"),
        ([10, 10, 1e300, 20, 30], "1e+300"),
        ([True] * 5, "True"),
    ],
)
def test_rows_without_the_number_of_their_image_are_refused(tmp_path, values, got):
    table = table_of(plain())
    pq.write_table(table.set_column(0, "image", pa.array(values)), tmp_path / "p.parquet")
    assert told(read_table, tmp_path / "p.parquet") == (
        f"{tmp_path / 'p.parquet'}: image: expected a whole number >= 0 in each row, got {got}; correct the rows"
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
