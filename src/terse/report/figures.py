"""The charts, from plain numbers. Colours are the page's: a trace says only whose it is (`meta.tone`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from terse.report.parts import Chart, in_text, words
from terse.results import HardnessCounts

__all__ = [
    "Curve",
    "Dot",
    "bars",
    "class_charts",
    "curve_chart",
    "cycle_lines",
    "hardness_charts",
    "hardness_histogram",
    "histogram",
    "intervals",
    "metric_curves",
    "pose_lines",
    "position_map",
    "size_charts",
]

BINS = 20
_NAMED = "<extra>%{fullData.name}</extra>"  # the name of the trace, beside the text at the pointer
_DOTTED = {"dash": "dot", "width": 1.5}
_MOST_CLASSES = 20
_NAME_CHARS = 24  # on an axis: more would take the room of the bars on a phone


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a metric against what it cost, with an interval where several seeds ran."""

    name: str
    x: Sequence[float]
    y: Sequence[float | None]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Dot:
    """A mean with its interval, where one is known, and the values it is the mean of."""

    name: str
    mean: float
    low: float | None = None
    high: float | None = None
    values: Sequence[float] = ()
    tone: str | None = None  # of another name than its own


def metric_curves(curves: Sequence[Curve], metric: str, against: str) -> go.Figure:
    """A metric against samples, or against target forward passes (paper, Fig. 7)."""
    figure = _figure(words(against), words(metric))
    figure.update_xaxes(tickformat="~s", rangemode="tozero")
    for curve in curves:
        _band(figure, curve)
        _line(figure, curve.name, curve.x, curve.y, legend=len(curves) > 1, cliponaxis=False)
    return figure


def cycle_lines(lines: Mapping[str, Sequence[float | None]], title: str, reference: float | None = None) -> go.Figure:
    """Values by cycle, counted from 1; a dotted line at the value that is to be compared with."""
    figure = _figure("Cycle", title)
    figure.update_xaxes(dtick=1 if max((len(y) for y in lines.values()), default=0) <= 20 else None, tickformat="d")
    for name, values in lines.items():
        _line(figure, name, range(1, len(values) + 1), values, legend=len(lines) > 1)
    if reference is not None:
        figure.add_hline(y=reference, line=_DOTTED)
    return figure


def hardness_histogram(counts: Mapping[str, Sequence[int]]) -> go.Figure:
    """The share of samples in each bin of hardness, by arm or cycle (paper, Fig. 8: p on its axis)."""
    return _shares(counts, "Hardness, 1\u00a0-\u00a0p", (0.0, 1.0))


def histogram(
    values: Mapping[str, Sequence[float]], title: str, span: tuple[float, float], bins: int = BINS
) -> go.Figure:
    """The share of values in each of equal bins; the outer bins hold what lies beyond."""
    edges = np.linspace(*span, bins + 1)
    counts = {}
    for name, series in values.items():
        found = np.asarray(series, dtype=np.float64)
        counts[name] = np.histogram(np.clip(found[np.isfinite(found)], *span), edges)[0].tolist()
    return _shares(counts, title, span)


def _shares(counts: Mapping[str, Sequence[int]], title: str, span: tuple[float, float]) -> go.Figure:
    """Bars for one series, step lines for several."""
    figure = _figure(title, "Share of samples")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(range=list(span))
    figure.update_layout(bargap=0.08)
    for name, series in counts.items():
        form = {"meta": {"tone": name}, "hovertemplate": f"%{{y:.1%}} at %{{x:.3g}}{_NAMED}"}
        if len(counts) == 1:
            figure.add_bar(**_share_points(name, series, span), **form)
        else:
            figure.add_scatter(**_share_points(name, series, span), **form, mode="lines", line={"shape": "hvh"})
    return figure


def _share_points(name: str, counts: Sequence[int], span: tuple[float, float]) -> dict[str, Any]:
    """The share of each of equal bins, at the bin's centre."""
    edges = np.linspace(*span, len(counts) + 1)
    centres = np.round((edges[:-1] + edges[1:]) / 2, 6).tolist()
    return {"x": centres, "y": [value / max(1, sum(counts)) for value in counts], "name": words(name)}


def bars(
    values: Mapping[str, Mapping[str, float]], title: str, unit: str = "", named: Callable[[str], str] = words
) -> go.Figure:
    """Stacked horizontal bars: one bar for each outer name, as `named` writes it, one part for each inner name."""
    figure = _figure(title, "")
    names = list(values)
    parts = list(dict.fromkeys(part for row in values.values() for part in row))
    for part in parts:
        figure.add_bar(
            y=[named(name) for name in names],
            x=[float(values[name].get(part, 0.0)) for name in names],
            name=words(part),
            orientation="h",
            hovertemplate=f"%{{y}}: %{{x:,.4~g}}{unit}{_NAMED}",
            showlegend=len(parts) > 1,
        )
    figure.update_layout(barmode="stack", bargap=0.35)
    figure.update_xaxes(tickformat="~s")
    return _by_name(figure, names, named)


def intervals(arms: Sequence[Dot], title: str, reference: float | None = None) -> go.Figure:
    """A dot and its interval for each arm, with every seed's value as a small mark behind it."""
    figure = _figure(title, "")
    for arm in arms:
        label = words(arm.name)
        common = {"mode": "markers", "meta": {"tone": arm.tone or arm.name}, "showlegend": False}
        if len(arm.values) > 1:
            figure.add_scatter(
                x=list(arm.values),
                y=[label] * len(arm.values),
                name=f"{label}, each seed",
                marker={"symbol": "line-ns-open", "size": 12, "opacity": 0.55},
                hovertemplate=f"%{{x:.4f}}{_NAMED}",
                **common,
            )
        figure.add_scatter(x=[arm.mean], y=[label], name=label, marker={"size": 10}, **_reach(arm), **common)
    if reference is not None:
        figure.add_vline(x=reference, line=_DOTTED)
    return _by_name(figure, [arm.name for arm in arms], words)


def pose_lines(poses: Mapping[str, Sequence[int]]) -> go.Figure:
    """How each pose component is spread over its own range, from its counts in equal bins; dotted is even."""
    figure = _figure("Place in its range, low to high", "Share of objects")
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    bins = max((len(counts) for counts in poses.values()), default=BINS)
    for name, counts in poses.items():
        points = _share_points(name, counts, (0.0, 1.0))
        figure.add_scatter(**points, mode="lines", hovertemplate=f"%{{y:.1%}}{_NAMED}")
    figure.add_hline(y=1 / bins, line=_DOTTED)
    return figure


def position_map(counts: Sequence[Sequence[int]], name: str = "learned") -> go.Figure:
    """Where objects stand within their play: rows from the top, as shares."""
    figure = _figure("From left to right", "From bottom to top")
    total = max(1, sum(map(sum, counts)))
    figure.add_heatmap(
        z=[[value / total for value in row] for row in counts],
        name="Share of objects",
        showscale=False,
        zmin=0,
        xgap=2,
        ygap=2,
        meta={"tone": name, "map": True},
        hovertemplate="%{z:.1%} of the objects<extra></extra>",
    )
    figure.update_layout(hovermode="closest")
    bare = {"showticklabels": False, "showgrid": False, "ticks": ""}
    figure.update_xaxes(bare, constrain="domain")
    figure.update_yaxes(bare, autorange="reversed", scaleanchor="x", constrain="domain")
    return figure


def _reach(arm: Dot) -> dict[str, Any]:
    """The interval of a dot, where it has one, as a bar and in the text beside the pointer."""
    if arm.low is None or arm.high is None:
        return {"hovertemplate": f"%{{x:.4f}}{_NAMED}"}
    above, below = [arm.high - arm.mean], [arm.mean - arm.low]
    error = {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 2, "width": 6}
    return {"error_x": error, "hovertemplate": f"%{{x:.4f}}, from {arm.low:.4f} to {arm.high:.4f}{_NAMED}"}


def _line(
    figure: go.Figure, name: str, x: Sequence[float], y: Sequence[float | None], *, legend: bool, **more: Any
) -> None:
    """A line with a mark at each value."""
    figure.add_scatter(
        x=list(x),
        y=list(y),
        name=words(name),
        mode="lines+markers",
        meta={"tone": name},
        hovertemplate=f"%{{y:.4f}}{_NAMED}",
        showlegend=legend,
        **more,
    )


def _by_name(figure: go.Figure, names: Sequence[str], named: Callable[[str], str]) -> go.Figure:
    """The figure with names on its vertical axis, the first on top; a long one is cut there and whole at the pointer."""
    short = [name if len(name) <= _NAME_CHARS else f"{name[: _NAME_CHARS - 1].rstrip()}…" for name in names]
    ticks = {"tickmode": "array", "tickvals": [*map(named, names)], "ticktext": [*map(named, short)]}
    figure.update_layout(hovermode="closest")
    return figure.update_yaxes(ticks, autorange="reversed", automargin=True, type="category")


def _band(figure: go.Figure, curve: Curve) -> None:
    if curve.low is None or curve.high is None:
        return
    figure.add_scatter(
        x=[*curve.x, *reversed(curve.x)],
        y=[*curve.high, *reversed(curve.low)],
        name=f"{words(curve.name)}, interval",
        mode="lines",
        fill="toself",
        line={"width": 0},
        meta={"tone": curve.name, "band": True},
        hoverinfo="skip",
        showlegend=False,
    )


def _figure(x: str, y: str) -> go.Figure:
    layout: dict[str, Any] = {
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "hovermode": "x unified",
        "dragmode": False,  # a finger on a chart scrolls the page
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "xaxis": {"title": {"text": x}, "automargin": True, "zeroline": False},
        "yaxis": {"title": {"text": y}, "automargin": True, "zeroline": False},
    }
    return go.Figure(layout=layout)


def class_charts(amounts: Mapping[str, Mapping[str, float]], caption: str) -> list[Chart]:
    """Objects of each class, by part of the data; the largest classes where there are many."""
    if not amounts:
        return []
    largest = dict(sorted(amounts.items(), key=lambda item: -sum(item[1].values()))[:_MOST_CLASSES])
    which = "each class" if len(largest) == len(amounts) else f"the {len(largest)} largest classes"
    return [Chart("classes", f"Objects of {which}", caption, bars(largest, "Objects", named=_as_is))]


def _as_is(name: str) -> str:
    """A name that is the user's, in which plotly would take `<b>` for its own."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def size_charts(sizes: Mapping[str, Sequence[float]], more: str = "") -> list[Chart]:
    """Objects' sides over their image's, by part of the data; `more` is added to the caption."""
    if not any(len(sides) for sides in sizes.values()):
        return []
    figure = histogram(sizes, "Side of the object over the image's", (0.0, 1.0))
    caption = f"The square root of the box's area over the image's.{more}"
    return [Chart("sizes", "How large the objects are", caption, figure)]


def curve_chart(curves: Sequence[Curve], primary: str, against: str, caption: str) -> Chart:
    """The primary metric against what it cost (paper, Fig. 7)."""
    heading = f"{words(primary)} against {in_text(against)}"
    figure = metric_curves(curves, primary, against)
    return Chart(f"curve-{against.replace('_', '-')}", heading, caption, figure)


def hardness_charts(counts: Mapping[str, HardnessCounts], heading: str, caption: str) -> list[Chart]:
    """Hardness by arm or cycle, of those that have any (paper, Fig. 8)."""
    known = {name: one.counts for name, one in counts.items() if any(one.counts)}
    return [Chart("hardness", heading, caption, hardness_histogram(known))] if known else []
