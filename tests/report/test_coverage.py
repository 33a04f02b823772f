import numpy as np
import pytest

from terse.evaluation.coverage import coverage
from terse.placements import Placements
from terse.poses import AffinePoses
from terse.report.coverage import coverage_charts, coverage_table
from terse.results import Coverage, PoseSpread


@pytest.fixture
def measured():
    """Coverage of two hundred placements that never turn."""
    poses = AffinePoses((-20.0, 20.0), (-1.0, 1.0), (-0.2, 0.2), (0.8, 1.2))
    pose = np.random.default_rng(0).uniform([-1e-3, -1, -1, -0.2, 0.8, 0.8], [1e-3, 1, 1, 0.2, 1.2, 1.2], (200, 6))
    rows = np.arange(200)
    return coverage(Placements.single(rows % 3, rows, pose), poses)


def test_the_charts_hold_what_was_measured(measured):
    lines, places = (chart.figure for chart in coverage_charts(measured))
    rotation = next(trace for trace in lines.data if trace.name == "rotation deg")
    assert sum(rotation.y) == pytest.approx(1)
    assert max(rotation.y) > 0.4
    assert np.sum(places.data[0].z) == pytest.approx(1)
    assert (np.array(places.data[0].z) * 200).round().astype(int).tolist() == measured.position


def test_the_table_names_the_least_covered_number(measured):
    table = coverage_table({"cut_paste_learn": measured})
    row = table.rows[0]
    assert row[:6] == ("cut-paste-learn", "200", "200", "200", "3", "rotation deg")
    assert float(row[6]) < 0.4
    assert len(row) == len(table.columns)


def test_a_chart_of_many_numbers_shows_the_least_covered():
    spread = {"low": 0.0, "high": 1.0, "counts": [1, 1], "at_edge": 0.0}
    poses = {f"{k}": PoseSpread(**spread, entropy=1 - k / 100) for k in range(45)}
    counts = {"images": 1, "objects": 1, "foregrounds": 1, "backgrounds": 1, "duplicates": 0.0, "near_duplicates": 0.0}
    chart = coverage_charts(Coverage(**counts, entropy=0.5, poses=poses))[0]
    assert [trace.name for trace in chart.figure.data] == [str(k) for k in range(37, 45)]
    assert chart.caption.endswith("Of 45 numbers the 8 least covered are shown; the table has all.")
