"""What `terse train` prints when a run ends."""

from pathlib import Path

import pytest

from terse.cli.train import _summary

RESULT = {
    "primary": "ap",
    "metrics": {"start": {"ap": 0.5}, "end": {"ap": 0.5}},
    "seconds": 9.0,
    "out": "run",
    "alarms": [],
    "cycles": [{}],
}


@pytest.mark.parametrize(
    ("best", "line"),
    [
        (2, f"better model  {Path('run/target.pth')}"),
        (0, f"model         {Path('run/target.pth')}, the start unchanged"),
    ],
)
def test_a_start_that_was_kept_is_no_better_model(best: int, line: str) -> None:
    assert _summary({**RESULT, "best_cycle": best}, Path("run/report.html")).splitlines()[1] == line


def test_a_run_without_cycles_compares_none() -> None:
    said = _summary({**RESULT, "best_cycle": 0, "cycles": []}, Path("run/report.html"))
    assert said.splitlines()[0] == "ap 0.500 -> 0.500 in 9 s (kept: the start)"


def test_a_run_ends_with_the_paths_of_its_picture_and_its_page() -> None:
    said = _summary({**RESULT, "best_cycle": 2}, Path("run/report.html"), Path("run/page/before-after.png"))
    assert said.splitlines()[-2:] == [
        f"picture       {Path('run/page/before-after.png')}: answers before and after",
        f"page          {Path('run/report.html')}: open it in a browser",
    ]
