"""What `terse train` prints when a run ends."""

from pathlib import Path

import pytest

from terse.cli.train import _summary

TESTED = {"train": {"kind": "coco"}, "val": 0.2, "test": 0.2, "data": None}
RESULT = {
    "primary": "ap",
    "metrics": {"start": {"ap": 0.5}, "end": {"ap": 0.5}},
    "seconds": 9.0,
    "out": "run",
    "alarms": [],
    "cycles": [{}],
}


@pytest.mark.parametrize(
    ("best", "end", "line"),
    [
        (2, 0.6, f"better model  {Path('run/target.pth')}"),
        (2, 0.4, f"model         {Path('run/target.pth')}"),  # better on validation alone, or the last by `keep: last`
        (0, 0.5, f"model         {Path('run/target.pth')}, the start unchanged"),
    ],
)
def test_a_model_that_is_not_better_is_not_called_so(best: int, end: float, line: str) -> None:
    metrics = {"start": {"ap": 0.5}, "end": {"ap": end}}
    said = _summary({**RESULT, "best_cycle": best, "metrics": metrics}, Path("run/report.html"), None, TESTED)
    assert said.splitlines()[1] == line


def test_a_run_without_cycles_compares_none() -> None:
    said = _summary({**RESULT, "best_cycle": 0, "cycles": []}, Path("run/report.html"), None, TESTED)
    assert said.splitlines()[0] == "ap 0.500 -> 0.500 in 9 s (kept: the start)"


def test_a_run_ends_with_the_paths_of_its_picture_and_its_page() -> None:
    picture = Path("run/page/before-after.png")
    said = _summary({**RESULT, "best_cycle": 2}, Path("run/report.html"), picture, TESTED)
    assert said.splitlines()[-2:] == [
        f"picture       {Path('run/page/before-after.png')}: answers before and after",
        f"page          {Path('run/report.html')}: open it in a browser",
    ]


CHOSEN = "note          The validation images also chose the kept cycle, so the figure flatters a little: the recipe names no test images."


@pytest.mark.parametrize(
    ("change", "where", "noted"),
    [
        ({"test": None}, " on the validation images", True),
        ({"test": None, "val": None}, " on the validation images", True),  # a fifth of train
        ({"test": None, "keep": "last"}, " on the validation images", False),
        ({"test": None, "train": None, "data": {"kind": "digits"}}, "", False),  # drawn data have test images
        ({}, "", False),
    ],
)
def test_figures_of_validation_images_are_not_called_those_of_a_test(change, where, noted) -> None:
    said = _summary({**RESULT, "best_cycle": 2}, Path("run/report.html"), None, {**TESTED, **change}).splitlines()
    assert said[0] == f"ap 0.500 -> 0.500{where} in 9 s (kept: cycle 2)"
    assert (CHOSEN in said) is noted
    none = _summary({**RESULT, "best_cycle": 0, "cycles": []}, Path("run/report.html"), None, {**TESTED, **change})
    assert CHOSEN not in none
