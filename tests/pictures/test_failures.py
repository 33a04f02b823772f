"""A small run that keeps every cycle: its page shows what each model missed, and the composites against it."""

import numpy as np
import pytest
import torch

from terse.pictures.page_folder import read_page
from terse.pictures.patches import PatchedImages
from terse.report.run_page import run_page
from terse.run import open_run, train

SMALL = (
    "cycles=2", "data.train=300", "data.val=60", "data.test=100", "pretrain.epochs=2", "hardness.above=0", "fine_tune.epochs=1",
    "pool.per_cycle=30", "pool.candidates=400", "synthesis.kind=mined",
)  # fmt: skip
SHAPES = (
    "data.train=16", "data.val=4", "data.test=8", "data.backgrounds=12", "pool.per_cycle=4", "pretrain.epochs=1",
    "cycles=0", "synthesis.kind=mined", "target={kind: ssd_small, image_size_px: 96}",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "kept"
    train("quickstart", [*SMALL, "checkpoint.each_cycle=true"], out=out)
    return out


def test_the_target_of_every_cycle_is_kept(folder):
    weights = [torch.load(folder / "cycles" / f"target-{cycle}.pth", weights_only=True) for cycle in (1, 2)]
    assert sorted(path.name for path in (folder / "cycles").iterdir()) == ["target-1.pth", "target-2.pth"]
    start = torch.load(folder / "start.pth", weights_only=True)
    assert not all(torch.equal(a, b) for a, b in zip(start.values(), weights[0].values(), strict=True))
    assert not all(torch.equal(*pair) for pair in zip(*(one.values() for one in weights), strict=True))


def test_each_model_is_asked_of_real_images_and_of_the_next_cycles_hard_composites(folder):
    failed = read_page(folder).figures.failures
    _, players, pool = open_run(folder)
    assert [one.cycle for one in failed.after] == [0, 1, 2]
    assert [one.real.objects for one in failed.after] == [100] * 3
    images, truth = players.test.fetch(np.arange(100))
    for one, file in zip(failed.after, ("start.pth", "cycles/target-1.pth", "cycles/target-2.pth"), strict=True):
        players.target.module.load_state_dict(torch.load(folder / file, weights_only=True))
        wrong = int((players.target.predict(images).argmax(dim=1) != truth.labels).sum())
        assert one.missed.objects == wrong
    hard = [int((pool.placements.hard & (pool.placements.cycle == cycle)).sum()) for cycle in (1, 2)]
    assert [one.modes.composites for one in failed.after[:2]] == [min(hard)] * 2
    assert failed.after[2].modes is None
    assert all(1 <= one.modes.clusters <= failed.clusters for one in failed.after[:2])


def test_the_page_has_strips_and_a_table_of_modes(folder):
    page = run_page(folder)
    strips = [sheet.heading for sheet in page.shown.sheets if sheet.group == "Missed, and pasted against it"]
    assert strips == [
        "Missed by the start", "Hard in cycle 1", "Missed after cycle 1", "Hard in cycle 2", "Missed after cycle 2",
    ]  # fmt: skip
    (table,) = [table for table in page.tables if table.heading == "Modes of failure"]
    assert [row[0] for row in table.rows] == ["1", "2", "base composites"]


def test_a_run_that_keeps_no_cycle_shows_no_failures(tmp_path):
    train("quickstart", [*SMALL, "cycles=1", "pool.per_cycle=10"], out=tmp_path / "run")
    assert not (tmp_path / "run" / "cycles").exists()
    assert read_page(tmp_path / "run").figures.failures is None


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "scenes"
    train("shapes", SHAPES, out=out)
    return out


def test_every_test_image_gets_a_patch_and_keeps_its_truth(scenes):
    recipe, players, _ = open_run(scenes)
    patched = PatchedImages.of(players.test, recipe, players.materials)
    assert 1 <= len(patched) <= 8
    rows = np.arange(len(patched))
    (with_patch, truth), (plain, same) = patched.fetch(rows), patched.plain().fetch(rows)
    assert torch.equal(truth.boxes_px, same.boxes_px)
    size_px = (plain.shape[-2], plain.shape[-1])
    for image, before, (x0, y0, x1, y1) in zip(
        with_patch, plain, patched.places(size_px).round().int().tolist(), strict=True
    ):
        changed = (image - before).abs().sum(dim=0) > 0
        assert changed.any()
        inside = torch.zeros_like(changed)
        inside[max(0, y0 - 4) : y1 + 4, max(0, x0 - 4) : x1 + 4] = True  # the blur reaches 3 px further
        assert not (changed & ~inside).any()


def test_a_detectors_page_says_what_a_patch_changes(scenes):
    found = read_page(scenes).figures.patched
    assert set(found.plain) == set(found.patched) == {"ap50", "ap", "false_alarms", "taken"}
    assert "Invariance to pasting" in [table.heading for table in run_page(scenes).tables]
