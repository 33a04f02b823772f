"""What the page of a committed run shows: changed only on purpose, the difference in review.

`golden_run` is a finished run of two cycles without `page/`, as terse 98f7ad4 left it, its weights in half precision.
`python tests/report/test_golden_page.py` writes `golden_page.json` anew.
"""

import base64
import io
import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from terse.cli.report import build_report
from terse.errors import RunError
from terse.report.page import page_html
from terse.report.run_page import run_page
from terse.run import compute_page

HERE = Path(__file__).parent
GOLDEN = HERE / "golden_page.json"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
ELEMENT = re.compile(r'<script type="application/json" id="([\w-]+)">(.*?)</script>', re.DOTALL)


def payload(folder):
    """Everything that the page of a run shows, pictures as their size and mean colour."""
    page = run_page(folder)
    html = page_html(page)
    data = {name: json.loads(text) for name, text in ELEMENT.findall(html) if name != "plotly"}
    data["gallery-data"]["src"] = [picture(src) for src in data["gallery-data"]["src"]]
    for pair in data["before-after-data"]:
        pair["src"] = picture(pair["src"])
    return {
        "title": page.title,
        "kind": page.kind,
        "name": page.name,
        "summary": list(page.summary),
        "facts": [[fact.name, fact.value, fact.note, fact.tone] for fact in page.facts],
        "alarms": list(page.alarms),
        "charts": [[chart.name, chart.heading, chart.caption] for chart in page.charts],
        "tables": [
            [table.heading, list(table.columns), list(map(list, table.rows)), table.caption] for table in page.tables
        ],
        "sheets": [
            [
                sheet.group,
                sheet.heading,
                [*sheet.image.size_px[::-1], 4],
                mean(sheet.image.encoded),
                sheet.alt,
                sheet.caption,
            ]
            for sheet in page.shown.sheets
        ],
        "before_after_note": page.shown.pairs_note,
        "gallery_note": page.shown.gallery.note,
        "commands": [[command.line, command.does] for command in page.commands],
        "data": data,
    }


def picture(src):
    """Width, height and mean colour of an encoded picture: encoders differ in the last bit."""
    image = Image.open(io.BytesIO(base64.b64decode(src.removeprefix("data:image/webp;base64,"))))
    return [*image.size, *np.asarray(image.convert("RGB"), dtype=np.float64).mean(axis=(0, 1)).round(1).tolist()]


def mean(encoded):
    """Mean of all channels of an encoded contact sheet."""
    return float(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGBA")).mean())


def differences(old, new, where="page"):
    """Where two payloads differ by more than rounding does; numbers inside texts are compared as numbers."""
    if isinstance(old, dict) and isinstance(new, dict):
        if list(old) != list(new):
            return [f"{where}: {list(old)} became {list(new)}"]
        return [line for key in old for line in differences(old[key], new[key], f"{where}.{key}")]
    if isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            return [f"{where}: {len(old)} entries became {len(new)}"]
        return [
            line for k, pair in enumerate(zip(old, new, strict=True)) for line in differences(*pair, f"{where}[{k}]")
        ]
    if isinstance(old, str) and isinstance(new, str):
        same = NUMBER.sub("#", old) == NUMBER.sub("#", new)
        if same and [float(n) for n in NUMBER.findall(new)] == pytest.approx(
            [float(n) for n in NUMBER.findall(old)], rel=1e-3, abs=1e-3
        ):
            return []
        return [f"{where}: {old!r} became {new!r}"]
    if isinstance(old, bool) or isinstance(new, bool) or old is None or new is None:
        return [] if old is new else [f"{where}: {old!r} became {new!r}"]
    if isinstance(old, int | float) and isinstance(new, int | float):
        return (
            []
            if new == pytest.approx(old, rel=1e-3, abs=0.6 if ".src[" in where else 1e-3)
            else [f"{where}: {old} became {new}"]
        )
    return [f"{where}: {old!r} became {new!r}"]


def golden_run(folder):
    """A copy of the committed run under a name of its own, with its page computed."""
    shutil.copytree(HERE / "golden_run", folder)
    compute_page(folder)
    return folder


def test_the_page_of_the_golden_run_has_not_changed(tmp_path):
    found = differences(json.loads(GOLDEN.read_text("utf-8")), payload(golden_run(tmp_path / "golden_run")))
    assert found == [], "\n".join(found[:40])


def test_a_run_without_pictures_says_how_to_make_them(tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(HERE / "golden_run", folder)
    with pytest.raises(RunError) as error:
        build_report(folder)
    assert str(error.value) == (
        f"{folder}: expected page/, which holds the pictures, got none; make it with: terse report {folder} --compute"
    )
    assert build_report(folder, compute=True).is_file()
    before = (folder / "report.html").read_bytes()
    for name in ("start.pth", "target.pth", "pool"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert build_report(folder).read_bytes() == before


def test_a_page_of_another_format_is_refused_in_a_sentence(tmp_path):
    folder = golden_run(tmp_path / "golden_run")
    written = folder / "page" / "page.json"
    written.write_text(json.dumps({**json.loads(written.read_text()), "format": 7}))
    with pytest.raises(RunError) as error:
        run_page(folder)
    assert str(error.value) == (
        f"{written}: expected format 1, got 7; another version of terse wrote it: read it with that one"
    )


def test_a_difference_is_seen():
    old = {"a": [1.0, "p 0.50, right", None], "b": True}
    assert differences(old, {"a": [1.0005, "p 0.5002, right", None], "b": True}) == []
    assert differences(old, {"a": [1.1, "p 0.60, right", 0.0], "b": False}) == [
        "page.a[0]: 1.0 became 1.1",
        "page.a[1]: 'p 0.50, right' became 'p 0.60, right'",
        "page.a[2]: None became 0.0",
        "page.b: True became False",
    ]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        found = payload(golden_run(Path(temporary) / "golden_run"))
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in found.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
