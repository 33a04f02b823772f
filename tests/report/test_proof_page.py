"""The page of a real proof, small: from its folder alone."""

import json

import pytest

from terse.cli.report import build_report
from terse.proof.prove import prove
from terse.proof.summary import read_runs
from terse.report.proof_page import proof_page

SMALL = (
    "cycles=1", "data.train=300", "data.val=40", "data.test=60", "pretrain.epochs=1", "fine_tune.epochs=1",
    "pool.per_cycle=30", "pool.candidates=300", "runtime.precision=float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("proofs") / "small"
    prove("quickstart", SMALL, out=out, arms=("none", "random"), seeds=1, workers=1)
    return out


def test_the_page_says_what_the_proof_says(folder):
    proof = json.loads((folder / "result.json").read_text())
    page = proof_page(folder)
    assert (page.kind, page.headline.word) == ("prove", "Not enough evidence")
    assert page.headline.sentence.lower() == proof["reason"].lower()
    dots = page.charts[0].figure.data
    assert [(trace.name, trace.x[0]) for trace in dots] == [(arm, one["mean"]) for arm, one in proof["arms"].items()]
    assert page.recipe == (folder / "recipe.yaml").read_text()


def test_arms_that_paste_are_shown_and_the_other_is_not(folder):
    page = proof_page(folder)
    runs = read_runs(folder)
    assert [(sheet.group, sheet.heading) for sheet in page.shown.sheets] == [("By arm", "random")]
    items = list(page.shown.gallery.items)
    assert {item.arm for item in items} == {"random"}
    assert len(items) == runs["random"][0].result.cycles[-1].samples
    histogram = next(chart for chart in page.charts if chart.name == "hardness").figure.data[0]
    assert sum(histogram.y) == pytest.approx(1)
    assert page.tables[-1].heading == "Coverage"
    assert [row[0] for row in page.tables[-1].rows] == ["random"]
    assert page.tables[-1].rows[0][-1] == "1"  # its feature distance over its own
    assert {chart.name for chart in page.charts} >= {"sizes", "positions-random"}
    audited = json.loads((folder / "coverage.json").read_text())
    assert list(audited) == ["random"]
    assert audited["random"]["0"] == runs["random"][0].measured.coverage.to_json()
    assert audited["random"]["0"]["diversity"]["distance"] > 0


def test_a_proofs_folder_is_known_by_the_report(folder):
    path = build_report(folder)
    assert path == folder / "report.html"
    assert "terse prove" in path.read_text("utf-8")
