"""Placements that were edited: what cannot be drawn is named before anything is written."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from terse.errors import DataError, RunError
from terse.generate import GenerateSettings, generate, render
from terse.progress import Observer
from terse.recipe import Recipe


@pytest.fixture(scope="module")
def made(plain: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of images of two objects each."""
    out = tmp_path_factory.mktemp("made") / "set"
    generate(plain, GenerateSettings(count=4, objects=(2, 2), shard_images=1), out, workers=0)
    return out


@pytest.mark.parametrize(
    ("name", "row", "value", "told"),
    [
        (
            "blend",
            5,
            "poisson",
            "blend: expected the same in all rows of the image, got 'alpha' and 'poisson'; correct the rows",
        ),
        ("0.affine.scale", 7, 0.0, "expected a pose under which the object has an area, got "),
        ("0.affine.shear", 7, float("nan"), "0.affine.shear: expected a finite number, got nan; correct the row"),
        ("0.affine.shear", 7, float("inf"), "0.affine.shear: expected a finite number, got inf; correct the row"),
    ],
)
def test_what_cannot_be_drawn_is_named_before_anything_is_written(
    made: Path, tmp_path: Path, name: str, row: int, value: Any, told: str
) -> None:
    table = pq.read_table(made / "placements.parquet")
    columns = {one: table.column(one).to_pylist() for one in table.column_names}
    columns[name][row] = value
    pq.write_table(pa.table(columns), made / "edited.parquet")
    heard: list[int] = []
    with pytest.raises(DataError) as error:
        render(made / "edited.parquet", tmp_path / "again", workers=0, observer=_Counts(heard))
    assert str(error.value).startswith(f"edited.parquet: image {row // 2}: {told}")
    assert not heard
    assert not (tmp_path / "again").exists()


def test_edited_placements_are_another_set_to_go_on_with(made: Path, tmp_path: Path) -> None:
    placements, out = tmp_path / "placements.parquet", tmp_path / "again"
    table = pq.read_table(made / "placements.parquet")
    pq.write_table(table, placements)
    render(placements, out, workers=0)
    assert render(placements, out, workers=0, resume=True)["images"] == 4
    pq.write_table(table.slice(0, 4), placements)
    with pytest.raises(RunError) as error:
        render(placements, out, workers=0, resume=True)
    begins = f"{out}: expected the request that the set began with, got another placements_sha256: "
    assert str(error.value).startswith(begins)


def test_a_set_drawn_by_an_older_terse_is_gone_on_with(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    render(made / "placements.parquet", out, workers=0)
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    del manifest["about"]["placements_sha256"]
    (out / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    assert render(made / "placements.parquet", out, workers=0, resume=True)["images"] == 4


class _Counts(Observer):
    def __init__(self, heard: list[int]) -> None:
        self.heard = heard

    def advance(self, what: str, done: int, total: int) -> None:
        self.heard.append(done)


def test_edited_poses_and_blends_are_drawn(made: Path, tmp_path: Path) -> None:
    table = pq.read_table(made / "placements.parquet")
    columns = {one: table.column(one).to_pylist() for one in table.column_names}
    columns["blend"][4:6] = ["poisson", "poisson"]
    columns["0.affine.scale"][7] *= 0.5
    pq.write_table(pa.table(columns), made / "edited.parquet")
    render(made / "edited.parquet", tmp_path / "again", workers=0)
    changed = [
        name.name
        for name in sorted((made / "images").iterdir())
        if name.read_bytes() != (tmp_path / "again" / "images" / name.name).read_bytes()
    ]
    assert changed == ["00000002.jpg", "00000003.jpg"]
