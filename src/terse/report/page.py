"""A page from its parts: one HTML file that needs no network and no server."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import html
import re
import zlib
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from terse.errors import RunError
from terse.folders import cache_folder, write_atomically
from terse.pictures.crops import data_uri, made
from terse.pictures.sheets import Sheet, packed_sheets
from terse.report.parts import Chart, PageData
from terse.report.payload import before_after_json, charts_json, embed, gallery_json

__all__ = [
    "build_page",
    "page_html",
]

SCRIPTS = ("overlay.js", "charts.js", "picking.js", "gallery.js", "page.js")


def build_page(data: PageData, path: Path) -> Path:
    """Write the page: the whole file or, when the disk or the data fails, nothing.

    Raises:
        RunError: the file cannot be written.
        DataError: an image that is none.
    """
    write_atomically(path, page_html(data).encode())
    return path


def page_html(data: PageData) -> str:
    """The text of the page."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("terse.report", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["coded"] = _coded
    script = "\n".join(_asset(name) for name in SCRIPTS)
    plotly, plotly_hash = _plotly() if data.charts else ("", "")
    page: str = environment.get_template("page.html").render(
        data=data,
        groups=_groups(data),
        chart_numbers={chart.name: _numbers(chart) for chart in data.charts},
        # Every string below is ours or comes out of `embed`; the template marks these, and only these, as safe.
        policy=_policy(script, plotly_hash),
        style=_asset("page.css"),
        script=script,
        plotly=plotly,
        charts=charts_json(data.charts),
        gallery=gallery_json(data.shown.gallery) if len(data.shown.gallery.items) else "",
        before_after=before_after_json(data.shown.pairs),
        plain=embed({"recipe": data.recipe, "commands": [command.line for command in data.commands]}),
    )
    return page


def _coded(text: str) -> str:
    """The text as markup, with what stands in backticks as code."""
    from markupsafe import Markup

    parts = re.split(r"`([^`\n]+)`", text)  # every second one stood in backticks; `join` and `format` escape
    return Markup("").join(Markup("<code>{}</code>").format(part) if k % 2 else part for k, part in enumerate(parts))


def _policy(script: str, plotly_hash: str) -> str:
    """A policy under which nothing is fetched and no script runs but ours, known by their hashes."""
    hashes = " ".join(f"'sha256-{value}'" for value in (_sha256(script.encode()), plotly_hash) if value)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


@cache
def _plotly() -> tuple[str, str]:
    """plotly.js, packed (4.8 MB come to 2.0 MB as base64; the browser unpacks it), and its hash for the policy."""
    library = resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()
    return base64.b64encode(_packed(library)).decode("ascii"), _sha256(library)


def _packed(library: bytes) -> bytes:
    """By gzip; packing takes 0.1 s, so the next command finds it in the cache."""
    name = f"{hashlib.sha256(library).hexdigest()[:24]}.gz"
    with contextlib.suppress(OSError, EOFError, zlib.error, RunError):
        if gzip.decompress(kept := (cache_folder() / "page" / name).read_bytes()) == library:
            return kept
    packed = gzip.compress(library, 5, mtime=0)
    with contextlib.suppress(OSError, RunError):  # no cache, or one that cannot be written
        write_atomically(cache_folder() / "page" / name, packed)
    return packed


@cache
def _asset(name: str) -> str:
    return resources.files("terse.report").joinpath(name).read_text("utf-8")


def _sha256(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode("ascii")


def _groups(data: PageData) -> dict[str, list[tuple[Sheet, str]]]:
    """The sheets with their encoded images, by group in the order given."""
    groups: dict[str, list[tuple[Sheet, str]]] = {}
    for sheet in packed_sheets(data.shown.sheets):
        groups.setdefault(sheet.group, []).append((sheet, data_uri(made(sheet.image).encoded)))
    return groups


def _numbers(chart: Chart) -> list[dict[str, Any]]:
    """The numbers behind a chart, trace by trace, for those who cannot see it or want to copy them."""
    tables = []
    for trace in chart.figure.data:
        if (trace.meta or {}).get("band"):
            continue
        if trace.type == "heatmap":
            rows = [(f"row {k}", ", ".join(map(_text, row))) for k, row in enumerate(trace.z, 1)]
        else:
            x, y = (() if values is None else values for values in (trace.x, trace.y))
            x, y = (y, x) if any(isinstance(value, str) for value in y) else (x, y)  # names first
            rows = [(_text(a), _text(b)) for a, b in zip(x, y, strict=True)]
        tables.append({"name": trace.name or chart.heading, "rows": rows})
    return tables


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else html.unescape(str(value))  # escaped for plotly
