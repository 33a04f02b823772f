import html

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from terse.report import figures
from terse.report.page import page_html
from terse.report.parts import PageData


@given(st.lists(st.floats(-0.5, 1.5), min_size=1, max_size=60))
def test_the_shares_of_a_histogram_add_up_to_one(values):
    bar = figures.histogram({"learned": values}, "x", (0.0, 1.0)).data[0]
    assert sum(bar.y) == pytest.approx(1.0)
    assert len(bar.x) == figures.BINS


def test_a_histogram_counts_by_hand():
    bar = figures.histogram({"a": [0.1, 0.1, 0.9, float("nan")]}, "x", (0.0, 1.0), bins=2).data[0]
    assert list(bar.x) == [0.25, 0.75]
    assert list(bar.y) == pytest.approx([2 / 3, 1 / 3])


def test_several_series_are_lines_that_can_be_told_apart():
    figure = figures.hardness_histogram({"random": [3, 1], "learned": [0, 2]})
    assert [trace.type for trace in figure.data] == ["scatter", "scatter"]
    assert [trace.meta["tone"] for trace in figure.data] == ["random", "learned"]


def test_a_curve_holds_its_numbers_and_its_band_stands_behind_it():
    curve = figures.Curve("learned", [0, 500], [0.2, 0.6], [0.1, 0.5], [0.3, 0.7])
    band, line = figures.metric_curves([curve], "accuracy", "samples").data
    assert (list(line.x), list(line.y)) == ([0, 500], [0.2, 0.6])
    assert (list(band.x), list(band.y)) == ([0, 500, 500, 0], [0.3, 0.7, 0.5, 0.1])
    assert band.hoverinfo == "skip"


def test_cycles_count_from_one_and_keep_their_gaps():
    figure = figures.cycle_lines({"hard_rate": [0.5, None, 0.2]}, "Hard rate", reference=0.5)
    assert list(figure.data[0].x) == [1, 2, 3]
    assert list(figure.data[0].y) == [0.5, None, 0.2]
    assert figure.layout.shapes[0].y0 == 0.5


def test_an_interval_reaches_from_low_to_high():
    arm = figures.Dot("cut_paste_learn", 0.5, 0.4, 0.65, [0.45, 0.55])
    seeds, dot = figures.intervals([arm], "AP", reference=0.48).data
    assert list(seeds.x) == [0.45, 0.55]
    assert dot.y[0] == "cut-paste-learn"
    assert dot.x[0] + dot.error_x.array[0] == pytest.approx(0.65)
    assert dot.x[0] - dot.error_x.arrayminus[0] == pytest.approx(0.4)


def test_bars_fill_in_what_a_row_lacks():
    first, second = figures.bars({"one": {"a": 1.0}, "two": {"a": 2.0, "b": 3.0}}, "Seconds").data
    assert (list(first.x), list(second.x)) == ([1.0, 2.0], [0.0, 3.0])


def test_a_long_name_is_cut_on_the_axis_and_whole_at_the_pointer():
    long, other = (
        "a very long class name of a taxonomy, <b>Carcharodon</b>",
        "a very long class name of another taxonomy",
    )
    (chart,) = figures.class_charts({long: {"train": 2}, other: {"train": 1}}, "")
    whole = ["a very long class name of a taxonomy, &lt;b>Carcharodon&lt;/b>", other]
    (bar,), axis = chart.figure.data, chart.figure.layout.yaxis
    assert list(bar.y) == list(axis.tickvals) == whole
    assert list(axis.ticktext) == ["a very long class name…"] * 2
    assert bar.hovertemplate.startswith("%{y}: ")
    dots = figures.intervals([figures.Dot("m" * 40, 0.5)], "Accuracy")
    assert dots.layout.yaxis.ticktext == (f"m{'m' * 22}…",)
    assert dots.data[0].name == "m" * 40


def test_an_unknown_name_is_written_without_underscores():
    assert figures.words("my_metric") == "my metric"
    assert figures.words("ap50") == "AP at IoU 0.5"


def test_numpy_numbers_do_not_stay_in_a_histogram():
    bar = figures.histogram({"a": np.array([0.1, 0.2])}, "x", (0.0, 1.0)).data[0]
    assert all(type(x) is float for x in (*bar.x, *bar.y))


def test_classes_keep_their_names_in_chart_and_table():
    names = ["traffic_light", "traffic light", "drift", "<b>x</b>", "a &amp; b"]
    (chart,) = figures.class_charts({name: {"train": 2.0} for name in names}, "Where.")
    assert [html.unescape(name) for name in chart.figure.data[0].y] == names
    page = page_html(PageData(title="t", kind="check", charts=[chart]))
    for name in names:
        assert f"<tr><td>{html.escape(name)}</td><td>2</td></tr>" in page
