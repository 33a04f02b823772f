"""The charts, from plain numbers. Colours are the page's: a trace says only whose it is (`meta.tone`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

__all__ = [
    "Curve",
    "Interval",
    "bars",
    "cycle_lines",
    "hardness_histogram",
    "histogram",
    "intervals",
    "metric_curves",
    "words",
]

BINS = 20
WORDS = {
    "accuracy": "Accuracy",
    "ap": "AP, mean of IoU 0.5 to 0.8",
    "ap50": "AP at IoU 0.5",
    "ap60": "AP at IoU 0.6",
    "ap70": "AP at IoU 0.7",
    "ap80": "AP at IoU 0.8",
    "cut_paste_learn": "cut-paste-learn",
    "hard_rate": "Hard rate",
    "samples": "Samples",
    "target_forwards": "Target forwards",
    "target_backwards": "Target backwards",
    "synthesizer_forwards": "Synthesizer forwards",
    "seconds": "Seconds",
}


@dataclass(frozen=True, slots=True)
class Curve:
    """One line: a metric against what it cost, with an interval where several seeds ran."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its interval and the values it is the mean of."""

    name: str
    mean: float
    low: float
    high: float
    values: Sequence[float] = ()


def words(name: str) -> str:
    """How a name of `result.json` is written for readers."""
    return WORDS.get(name, name.replace("_", " "))


def metric_curves(curves: Sequence[Curve], metric: str, against: str) -> go.Figure:
    """A metric against samples, or against target forward passes (paper, Fig. 7)."""
    figure = _figure(words(against), words(metric))
    figure.update_xaxes(tickformat="~s", rangemode="tozero")
    for curve in curves:
        _band(figure, curve)
        figure.add_scatter(
            x=list(curve.x),
            y=list(curve.y),
            name=words(curve.name),
            mode="lines+markers",
            cliponaxis=False,
            meta={"tone": curve.name},
            hovertemplate="%{y:.4f}<extra>%{fullData.name}</extra>",
            showlegend=len(curves) > 1,
        )
    return figure


def cycle_lines(lines: Mapping[str, Sequence[float | None]], title: str, reference: float | None = None) -> go.Figure:
    """Values by cycle, counted from 1; a dotted line at the value that is to be compared with."""
    figure = _figure("Cycle", title)
    figure.update_xaxes(dtick=1 if max((len(y) for y in lines.values()), default=0) <= 20 else None, tickformat="d")
    for name, values in lines.items():
        figure.add_scatter(
            x=list(range(1, len(values) + 1)),
            y=list(values),
            name=words(name),
            mode="lines+markers",
            meta={"tone": name},
            hovertemplate="%{y:.4f}<extra>%{fullData.name}</extra>",
            showlegend=len(lines) > 1,
        )
    if reference is not None:
        figure.add_hline(y=reference, line={"dash": "dot", "width": 1.5})
    return figure


def hardness_histogram(values: Mapping[str, Sequence[float]], title: str = "Hardness, 1 - p") -> go.Figure:
    """The share of samples in each twentieth of hardness, by arm or cycle (paper, Fig. 8: p on its axis)."""
    return histogram(values, title, (0.0, 1.0))


def histogram(
    values: Mapping[str, Sequence[float]], title: str, span: tuple[float, float], bins: int = BINS
) -> go.Figure:
    """Shares by bin: bars for one series, step lines for several; the outer bins hold what lies beyond."""
    figure = _figure(title, "Share of samples")
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_layout(bargap=0.08)
    edges = np.linspace(*span, bins + 1)
    centres = [float(x) for x in np.round((edges[:-1] + edges[1:]) / 2, 6)]
    for name, series in values.items():
        finite = np.asarray(series, dtype=np.float64)
        finite = np.clip(finite[np.isfinite(finite)], *span)
        shares = [float(x) for x in np.histogram(finite, edges)[0] / max(1, len(finite))]
        common = {"x": centres, "y": shares, "name": words(name), "meta": {"tone": name}}
        hover = "%{y:.1%} at %{x:.3g}<extra>%{fullData.name}</extra>"
        if len(values) == 1:
            figure.add_bar(**common, hovertemplate=hover)
        else:
            figure.add_scatter(**common, mode="lines", line={"shape": "hvh"}, hovertemplate=hover)
    return figure


def bars(values: Mapping[str, Mapping[str, float]], title: str, unit: str = "") -> go.Figure:
    """Stacked horizontal bars: one bar for each outer name, one part for each inner name."""
    figure = _figure(title, "")
    names = list(values)
    parts = list(dict.fromkeys(part for row in values.values() for part in row))
    for part in parts:
        figure.add_bar(
            y=[words(name) for name in names],
            x=[float(values[name].get(part, 0.0)) for name in names],
            name=words(part),
            orientation="h",
            hovertemplate="%{x:,.4~g}" + unit + "<extra>%{fullData.name}</extra>",
            showlegend=len(parts) > 1,
        )
    figure.update_layout(barmode="stack", bargap=0.35, hovermode="closest")
    figure.update_xaxes(tickformat="~s")
    figure.update_yaxes(autorange="reversed", automargin=True, type="category")
    return figure


def intervals(arms: Sequence[Interval], title: str, reference: float | None = None) -> go.Figure:
    """A dot and its interval for each arm, with every seed's value as a small mark behind it."""
    figure = _figure(title, "")
    for arm in arms:
        label = words(arm.name)
        if len(arm.values) > 1:
            figure.add_scatter(
                x=list(arm.values),
                y=[label] * len(arm.values),
                name=f"{label}, each seed",
                mode="markers",
                marker={"symbol": "line-ns-open", "size": 12, "opacity": 0.55},
                meta={"tone": arm.name},
                hovertemplate="%{x:.4f}<extra>%{fullData.name}</extra>",
                showlegend=False,
            )
        figure.add_scatter(
            x=[arm.mean],
            y=[label],
            name=label,
            mode="markers",
            marker={"size": 10},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [arm.high - arm.mean],
                "arrayminus": [arm.mean - arm.low],
                "thickness": 2,
                "width": 6,
            },
            meta={"tone": arm.name},
            hovertemplate=f"%{{x:.4f}}, from {arm.low:.4f} to {arm.high:.4f}<extra>%{{fullData.name}}</extra>",
            showlegend=False,
        )
    if reference is not None:
        figure.add_vline(x=reference, line={"dash": "dot", "width": 1.5})
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(autorange="reversed", automargin=True, type="category")
    return figure


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
