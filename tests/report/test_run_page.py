"""The page of a real run, small: from its folder alone."""

import json
import shutil

import numpy as np
import pytest
import torch

import terse.cli.main as command_line
from terse.cli.report import build_report
from terse.errors import RunError
from terse.evaluation.predictions import spread
from terse.pictures.pool import boxes_of, cycle_sheets, pool_gallery, real_and_synthetic
from terse.pictures.run_pictures import run_pictures
from terse.pool import Pool
from terse.recipe import load_recipe
from terse.report.page import page_html
from terse.report.run_page import build_run_page, run_page
from terse.run import open_run, train

SMALL = (
    "cycles=2", "data.train=600", "data.val=60", "data.test=100", "pretrain.epochs=2", "hardness.above=0", "fine_tune.epochs=1",
    "pool.per_cycle=30", "pool.candidates=400", "synthesis.batch_size=64", "synthesis.steps=4",
    "synthesis.harvest_from=1", "synthesis.max_steps=8", "synthesis.statistics_pairs=64", "runtime.precision=float32",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "small"
    train("quickstart", SMALL, out=out)
    return out


@pytest.fixture(scope="module")
def opened(folder):
    return open_run(folder)


def test_the_page_says_what_the_result_says(folder):
    result = json.loads((folder / "result.json").read_text())
    page = run_page(folder)
    curve = next(chart for chart in page.charts if chart.name == "curve-samples").figure.data[0]
    assert list(curve.x) == [0, *(cycle["samples"] for cycle in result["cycles"])]
    assert list(curve.y)[1:] == [cycle["accuracy"] for cycle in result["cycles"]]
    assert [sheet.heading for sheet in page.shown.sheets] == ["Cycle 1", "Cycle 2", "Real", "Synthetic"]
    assert len(page.shown.gallery.items) == result["cycles"][-1]["samples"]
    assert page.recipe == (folder / "recipe.yaml").read_text()


def test_the_page_is_written_into_the_folder_and_is_the_same_again(folder):
    first = build_run_page(folder).read_bytes()
    assert build_run_page(folder) == folder / "report.html"
    assert (folder / "report.html").read_bytes() == first


def test_the_gallery_holds_the_pool(opened):
    recipe, players, pool = opened
    items = list(pool_gallery({recipe.synthesis.kind: (players.materials, pool)}).items)
    drawn = players.materials.render(pool.placements, masks=True)
    assert [item.hardness for item in items] == pool.placements.hardness.tolist()
    assert [item.class_name for item in items] == [players.materials.classes[k] for k in pool.placements.label]
    last = items[-1]
    assert np.array_equal(last.image, (drawn.images[-1] * 255).round().byte().permute(1, 2, 0).numpy())
    assert np.array_equal(last.masks[0], drawn.modal[-1].numpy())
    assert last.boxes == boxes_of(drawn.truth, players.materials.classes)[len(items) - 1][0]
    assert last.record["pastes"][0]["foreground"] == players.materials.foregrounds.keys[pool.placements.foreground[-1]]
    assert last.record["pastes"][0]["pose"]["rotation_deg"] == pool.placements.pose[-1][0]


def test_a_record_is_what_the_shard_holds(opened, folder):
    _, players, pool = opened
    item = next(iter(pool_gallery({"learned": (players.materials, pool)}).items))
    materials = players.materials
    written = Pool(folder / "pool", materials.foregrounds, materials.backgrounds, materials.poses)
    written.load(2)
    placements = written.placements
    assert list(item.record["pastes"][0]["pose"].values()) == placements.pose[0].tolist()
    assert item.record["background"] == materials.backgrounds.keys[placements.background[0]]


def test_every_strip_is_of_its_cycle(opened):
    _, players, pool = opened
    first, second = cycle_sheets(players.materials, pool)
    assert first.caption.startswith(f"{(pool.placements.cycle == 1).sum()} found")
    assert not np.array_equal(first.image, second.image)


@pytest.mark.parametrize(("total", "most"), [(0, 5), (3, 5), (5, 5), (12, 5), (5000, 2000)])
def test_an_even_share_is_even(total, most):
    rows = spread(total, most)
    assert len(rows) == min(total, most)
    assert len(set(rows.tolist())) == len(rows)
    assert all(0 <= row < total for row in rows)
    assert total - 1 - rows.max(initial=-1) <= total / max(1, len(rows)) or total == 0
    if len(rows) > 1:
        assert np.diff(rows).max() - np.diff(rows).min() <= 1


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError) as error:
        build_run_page(tmp_path)
    assert str(error.value) == f"{tmp_path}: expected a finished run with recipe.yaml and result.json, got none"


def test_an_empty_recipe_of_a_run_is_refused(tmp_path):
    (tmp_path / "recipe.yaml").touch()
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(RunError) as error:
        build_run_page(tmp_path)
    assert str(error.value) == f"{tmp_path / 'recipe.yaml'}: expected the recipe of a run, got one without synthesis"


def test_only_a_run_has_others_beside_it(folder, tmp_path):
    (tmp_path / "start").mkdir()
    with pytest.raises(RunError) as error:
        build_report(tmp_path, (folder,))
    assert str(error.value) == (
        f"--beside: expected the page of a run, got that of a proof in {tmp_path}; give a run's folder"
    )


def test_beside_on_the_command_line(folder, capsys, tmp_path):
    shutil.copytree(folder, tmp_path / "mine")
    for number in (1, 2):
        shutil.copytree(folder, tmp_path / f"other-{number}")
    others = [item for number in (1, 2) for item in ("--beside", str(tmp_path / f"other-{number}"))]
    with pytest.raises(SystemExit) as ended:
        command_line.main(["report", str(tmp_path / "mine"), *others])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine' / 'report.html'}\n"
    html = (tmp_path / "mine" / "report.html").read_text("utf-8")
    assert "Beside other runs" in html
    assert all(f"other-{number}" in html for number in (1, 2))


def test_the_real_page_opens_without_a_complaint(browser, folder, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(page_html(run_page(folder)), "utf-8")
    complaints = []
    page = browser.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].some((n) => n.dataset.drawn)")
    page.wait_for_selector(".card")
    page.close()
    assert complaints == []


def test_the_poses_of_the_last_cycle_are_shown(folder, opened):
    _, _, pool = opened
    page = run_page(folder)
    table = next(table for table in page.tables if table.heading == "Coverage")
    assert [row[:2] for row in table.rows] == [
        ("cycle 1", str((pool.placements.cycle == 1).sum())),
        ("cycle 2", str((pool.placements.cycle == 2).sum())),
        ("whole pool", str(len(pool))),
    ]
    assert {chart.name for chart in page.charts} >= {"poses", "positions", "hardness", "seconds"}


def test_the_answers_before_and_after_need_the_start(folder, opened):
    recipe, players, pool = opened
    start = folder / "start.pth"
    kept = start.read_bytes()
    try:
        start.unlink()
        without = run_pictures(recipe, players, pool, folder)
        assert (without.pairs, without.pairs_note) == ((), "")
        torch.save(players.target.module.state_dict(), start)
        note = run_pictures(recipe, players, pool, folder).pairs_note
    finally:
        start.write_bytes(kept)
    assert run_page(folder).shown.pairs_note.startswith("On the test images. Of 100 images, ")
    assert note.startswith("On the test images. Of 100 images, 0 went from wrong to right and 0 from right to wrong.")


def test_pictures_leave_the_players_as_they_are(folder, opened):
    recipe, players, pool = opened
    before = {name: value.clone() for name, value in players.target.module.state_dict().items()}
    run_pictures(recipe, players, pool, folder)
    after = players.target.module.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())


def test_a_run_killed_before_its_pictures_makes_them_when_it_is_resumed(folder, tmp_path):
    killed = tmp_path / "killed"
    shutil.copytree(folder, killed)
    (killed / "page").rename(killed / "page.tmp")  # as a kill between the pictures and their renaming leaves it
    train(load_recipe(killed / "recipe.yaml"), out=killed, resume=True)
    assert not (killed / "page.tmp").exists()
    for path in sorted((folder / "page").iterdir()):
        assert (killed / "page" / path.name).read_bytes() == path.read_bytes(), path.name


def test_arms_share_the_gallery(opened):
    _, players, pool = opened
    gallery = pool_gallery(dict.fromkeys(("random", "learned"), (players.materials, pool)))
    arms = [item.arm for item in gallery.items]
    assert arms == ["random"] * len(pool) + ["learned"] * len(pool)
    assert len(gallery.items) == len(arms)


def test_an_empty_pool_has_nothing_to_show(opened):
    _, players, _ = opened
    materials = players.materials
    empty = Pool(None, materials.foregrounds, materials.backgrounds, materials.poses)
    assert len(pool_gallery({"learned": (materials, empty)}).items) == 0
    assert cycle_sheets(materials, empty) == []
    assert real_and_synthetic(materials, empty, players.train, 0) == []


def test_another_run_stands_beside_it(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("runs") / "other"
    train("quickstart", [*SMALL, "seed=5"], out=other)
    page = run_page(folder, [other])
    strips = [sheet for sheet in page.shown.sheets if sheet.group == "Beside other runs"]
    assert [strip.heading for strip in strips] == ["small: seed=0", "other: seed=5"]
    table = page.tables[-1]
    ends = [json.loads((path / "result.json").read_text())["metrics"]["end"]["accuracy"] for path in (folder, other)]
    assert [row[1] for row in table.rows] == ["seed=0", "seed=5"]
    assert [float(row[3]) for row in table.rows] == [pytest.approx(end, abs=1e-4) for end in ends]
