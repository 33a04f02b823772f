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
    ("best", "end", "line"),
    [
        (2, 0.6, f"better model  {Path('run/target.pth')}"),
        (2, 0.4, f"model         {Path('run/target.pth')}"),  # better on validation alone, or the last by `keep: last`
        (0, 0.5, f"model         {Path('run/target.pth')}, the start unchanged"),
    ],
)
def test_a_model_that_is_not_better_is_not_called_so(best: int, end: float, line: str) -> None:
    metrics = {"start": {"ap": 0.5}, "end": {"ap": end}}
    said = _summary({**RESULT, "best_cycle": best, "metrics": metrics}, Path("run/report.html"))
    assert said.splitlines()[1] == line


def test_a_run_without_cycles_compares_none() -> None:
    said = _summary({**RESULT, "best_cycle": 0, "cycles": []}, Path("run/report.html"))
    assert said.splitlines()[0] == "ap 0.500 -> 0.500 in 9 s (kept: the start)"


def test_a_run_ends_with_the_paths_of_its_picture_and_its_page() -> None:
    said = _summary({**RESULT, "best_cycle": 2}, Path("run/report.html"), Path("run/page/before-after.png"))
    assert said.splitlines()[-2:] == [
        f"picture       {Path('run/page/before-after.png')}: answers before and after",
        f"page          {Path('run/report.html')}: open it in a browser",
    ]
