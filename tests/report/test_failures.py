"""Tables of failures and of invariance to pasting, from figures."""

import numpy as np

from terse.page_figures import AfterCycle, Failures, Modes, ObjectShapes, Patched, ShownFigures
from terse.pictures.page_folder import Shown, write_page
from terse.pictures.patches import _interval
from terse.report.failures import failure_tables, patch_tables
from terse.results import Cycle

DISTANCE = {"size": 0.5, "aspect": 0.25, "cut": 0.1}
SHAPES = ObjectShapes(objects=9, size=0.25, aspect=1.5, cut=0.5)
FAR = SHAPES.model_copy(update={"distance": DISTANCE, "by_chance": 0.4})


def after(cycle, *, shapes=SHAPES, hard=None, modes=None):
    return AfterCycle(cycle=cycle, real=FAR, missed=shapes, base=FAR, hard=hard, modes=modes)


def test_what_was_missed_stands_above_what_was_pasted_against_it():
    modes = Modes(composites=9, pair_entropy=1.5, pairs=3, clusters=4.0)
    failed = Failures(after=[after(0, hard=FAR, modes=modes), after(1)], images=20, clusters=32, base_clusters=20.0)
    shapes, told = failure_tables(failed, [Cycle(hard_rate=0.25)])
    distance = ("0.50", "0.25", "0.10", "0.40")
    assert shapes.rows[:3] == [
        ("start", "missed", "9", "0.250", "1.50", "50%", "", "", "", ""),
        ("", "all real", "9", "0.250", "1.50", "50%", *distance),
        ("", "hard in cycle 1", "9", "0.250", "1.50", "50%", *distance),
    ]
    assert [row[:2] for row in shapes.rows[4:]] == [
        ("after cycle 1", "missed"), ("", "all real"), ("", "base composites")
    ]  # fmt: skip
    assert told.rows == [("1", "9", "1.50", "3", "4.0", "4.0"), ("base composites", "9", "", "", "20.0", "")]


def test_objects_without_boxes_have_no_shapes_and_runs_without_kept_cycles_no_tables():
    counted = ObjectShapes(objects=9)
    assert failure_tables(Failures(after=[after(0, shapes=counted)], images=9, clusters=32), []) == []
    assert failure_tables(None, []) == []


def patched(change):
    plain = {"ap50": 0.5, "ap": None, "false_alarms": 1.0, "taken": 0.0}
    return Patched(
        images=8, plain=plain, patched={**plain, "ap50": 0.5 + change, "taken": 0.25}, ap50_change=(-0.1, 0.2)
    )


def test_runs_stand_below_each_other(tmp_path):
    for name, change in (("with", 0.0), ("without", -0.25)):
        (tmp_path / name).mkdir()
        write_page(tmp_path / name, Shown(ShownFigures(patched=patched(change))))
    beside = [(name, tmp_path / name) for name in ("with", "without")]
    (table,) = patch_tables(patched(0.0), beside)
    assert table.rows[0] == ("with", "AP at IoU 0.5, 8 images", "0.500", "0.500", "+0.000 (-0.100 to +0.200)")
    assert table.rows[3] == ("without", "AP at IoU 0.5, 8 images", "0.500", "0.250", "-0.250 (-0.100 to +0.200)")
    assert table.rows[5] == ("", "Places with a false alarm", "0.000", "0.250", "+0.250")
    assert patch_tables(None) == []


def test_one_test_image_has_no_interval():
    assert _interval(np.array([0.25])) is None
    low, high = _interval(np.array([0.0, 0.5]))
    assert low < 0.25 < high


def test_a_run_alone_has_no_column_of_runs():
    (table,) = patch_tables(patched(0.0))
    assert list(table.columns) == ["Measure", "Without patch", "With patch", "Change"]
    assert table.rows[2] == ("Places with a false alarm", "0.000", "0.250", "+0.250")


def test_the_images_that_judge_are_named():
    failed = Failures(after=[after(0), after(1)], images=20, clusters=32)
    (shapes,) = failure_tables(failed, [], "validation")
    assert shapes.caption.startswith("Of 20 validation images. ")
    (table,) = patch_tables(patched(0.0), images="validation")
    assert table.caption.startswith("Each validation image with one ")
    assert patch_tables(patched(0.0))[0].caption.startswith("Each test image with one ")
