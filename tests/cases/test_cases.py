"""What strangers bring is read as what it is, or refused with a reason: `expected.csv` says which for each set."""

import csv
from pathlib import Path

import pytest

from strangers import SETS, photograph
from terse.check.check import Checked, check_data, check_recipe
from terse.check.findings import Code
from terse.errors import DataError
from terse.init.make import make_recipe
from terse.recipe import load_recipe
from terse.sources.guess import is_recipe, source_settings

TABLE = {
    row["case"]: row for row in csv.DictReader(Path(__file__).with_name("expected.csv").read_text("utf-8").splitlines())
}
PASSED_OVER = {Code.PICTURES_TWICE}  # says nothing of the reading
BY_RECIPE = {"class_lost_by_cleanup", "cut_tight_disc"}


# Where the table leaves a choice.
ALLOWED = {
    "bg_kinds": {"partly"},  # all are read but the two that the table lets be named
    "yolo_txt_darknet": {"boxes"},  # its labels are boxes
}


def verdict(checked: Checked) -> str:
    """In the table's words."""
    codes = {one.code for one in checked.found if one.weight == "warning"}
    if not checked.ready:
        return "not ready"
    if codes & {Code.FILES_UNREADABLE, Code.ANNOTATIONS_UNUSABLE}:
        return "partly"
    if codes - PASSED_OVER:
        return "warn"
    return "boxes" if any(one.code is Code.NO_MASKS_IN_DATA for one in checked.found) else "ready"


def test_every_line_of_the_table_is_drawn():
    assert set(SETS) == set(TABLE)


@pytest.mark.parametrize("name", [name for name in TABLE if name != "cut_tight_disc"])
def test_a_set_is_read_as_the_table_says(tmp_path, name):
    expected = TABLE[name]
    root = tmp_path / name
    root.mkdir()
    path = SETS[name](root)
    try:
        checked = check_data(source_settings(path), name)
    except DataError as error:
        assert expected["verdict"] in ("refused", "not ready"), str(error)
        assert "\n" not in str(error)
        return
    annotations = checked.parts["data"].annotations
    counts = {"images": len(annotations), "objects": len(annotations.labels), "masks": int(annotations.masked.sum())}
    assert {name: str(count) for name, count in counts.items() if expected[name]} == {
        name: expected[name] for name in counts if expected[name]
    }
    assert verdict(checked) in ALLOWED.get(name, {expected["verdict"]}), [one.advice for one in checked.found]


def test_yaml_of_yolo_is_never_taken_for_a_recipe(tmp_path):
    for name in TABLE:
        if name.startswith("yolo"):
            root = tmp_path / name
            root.mkdir()
            SETS[name](root)
            assert not any(is_recipe(str(file)) for file in root.glob("*.yaml")), name


@pytest.mark.parametrize("name", sorted(BY_RECIPE))
def test_init_names_what_can_be_pasted_and_check_agrees(tmp_path, name):
    path = SETS[name](tmp_path)
    for i in range(8):
        photograph(tmp_path / f"bg/b{i}.jpg", 20 + i, (200, 150))
    real = source_settings(tmp_path / "ann.json")
    pasted = {"cutouts": str(path)} if path.is_dir() else real
    sources = {"foregrounds": pasted, "backgrounds": {"images": str(tmp_path / "bg")}, "train": real}
    look = make_recipe(sources, tmp_path / "r.yaml")
    assert look.classes == ("disc",)
    assert set(look.lost) == ({"dot"} if name == "class_lost_by_cleanup" else set())
    assert ready(tmp_path / "r.yaml")
    if look.lost:
        assert not ready(tmp_path / "r.yaml", "foregrounds.classes=[disc, dot]")


def ready(recipe: Path, *overrides: str) -> bool:
    return check_recipe(load_recipe(str(recipe), overrides), "r").ready
