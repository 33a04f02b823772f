"""A finished run lends its synthesizer and its target to the generator."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from at_urls import put_at
from drawn_sets import files_of
from terse.cli.main import main
from terse.generate import GenerateSettings, generate, of_run, render
from terse.placements import Placements
from terse.recipe import load_recipe
from terse.run import open_run, open_session, train


@pytest.mark.parametrize("rule", ["{kind: margin, above: 0}", "{kind: quantile}"])
def test_a_set_of_a_run_with_a_window_of_hardness(rule: str, small: list[str], tmp_path: Path) -> None:
    settings = [item for item in small if not item.startswith("hardness")]
    train(load_recipe("quickstart", [*settings, f"hardness={rule}", "cycles=1"]), out=tmp_path / "run")
    asked = GenerateSettings(count=6, hardness=(0.2, 1.0), image="png")
    result = generate(of_run(tmp_path / "run"), asked, tmp_path / "set", workers=0)
    assert result["images"] == 6
    images = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))["images"]
    assert all(0.2 <= image["hardness"] <= 1 for image in images)
    assert (
        len(
            {row["0.affine.rotation_deg"] for row in pq.read_table(tmp_path / "set" / "placements.parquet").to_pylist()}
        )
        == 6
    )


def test_a_pool_is_rendered_as_a_set(small: list[str], tmp_path: Path) -> None:
    train(load_recipe("quickstart", [*small, "cycles=1"]), out=tmp_path / "run")
    shard = tmp_path / "run" / "pool" / "cycle-0001.parquet"
    moved = tmp_path / "elsewhere" / shard.name  # its metadata say what it was made from
    moved.parent.mkdir()
    shutil.copy(shard, moved)
    result = render(moved, tmp_path / "set", workers=0, image="png")
    _, players, pool = open_run(tmp_path / "run")
    assert result["images"] == len(pool) > 0
    drawn = players.materials.render(pool.placements).images
    for number, image in enumerate(drawn):
        file = cv2.imread(str(tmp_path / "set" / "images" / f"{number:08d}.png"), cv2.IMREAD_GRAYSCALE)
        assert np.abs(image[0].numpy() * 255 - file).mean() < 1
    images = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))["images"]
    assert [image["hardness"] for image in images] == [round(value, 5) for value in pool.placements.hardness.tolist()]


def test_drawn_scenes_go_to_worker_processes(tmp_path: Path) -> None:
    recipe = load_recipe("shapes", ["data.train=6", "data.backgrounds=4"])
    for workers in (0, 1):
        generate(recipe, GenerateSettings(count=3, image="png"), tmp_path / str(workers), workers=workers)
    assert files_of(tmp_path / "0") == files_of(tmp_path / "1")


def test_a_mined_run_lends_what_is_hard_for_its_target(small: list[str], tmp_path: Path) -> None:
    settings = [item for item in small if not item.startswith(("hardness", "synthesis"))]
    rule = "hardness={kind: probability, below: 0.99}"
    train(load_recipe("quickstart", [*settings, "synthesis.kind=mined", rule, "cycles=1"]), out=tmp_path / "run")
    origin = of_run(tmp_path / "run")
    assert origin.load().keeps_hard
    assert generate(origin, GenerateSettings(count=6, image="png"), tmp_path / "set", workers=0)["images"] == 6
    images = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))["images"]
    assert all(image["hardness"] > 0.01 for image in images)  # each was judged


def test_a_learned_run_lends_the_synthesizer_of_the_targets_own_cycle(small: list[str], tmp_path: Path) -> None:
    """The target of the best cycle was kept; the state holds the last cycle's players."""
    session = open_session(load_recipe("quickstart", [*small, "cycles=1"]), tmp_path / "run")
    synthesizer, target = session.players.proposer.module, session.players.target.module
    session.keep_target()
    kept = {name: value.clone() for name, value in synthesizer.state_dict().items()}
    with torch.no_grad():
        for parameter in (*synthesizer.parameters(), *target.parameters()):
            parameter.add_(1)
    session.save()
    ended = {"primary": "accuracy", "metrics": {"start": {}, "end": {}}, "cycles": [], "seconds": 0}
    (tmp_path / "run" / "result.json").write_text(json.dumps(ended))
    session.pool.append(1, Placements.empty(6))
    lent = of_run(tmp_path / "run").load().proposer.module
    assert all(torch.equal(value, lent.state_dict()[name]) for name, value in kept.items())
    (tmp_path / "run" / "state" / "synthesizer.pth").unlink()  # as an older run left it
    older = of_run(tmp_path / "run").load().proposer.module
    assert all(torch.equal(value, older.state_dict()[name]) for name, value in synthesizer.state_dict().items())


def test_a_run_is_named_by_its_url(small: list[str], tmp_path: Path, own_storage: None) -> None:
    train(load_recipe("quickstart", [*small, "cycles=1"]), out=tmp_path / "run")
    put_at("memory://bucket/runs/mine", tmp_path / "run")
    asked = ["--count", "4", "--image", "png", "--workers", "0", "--no-page"]
    for source, name in ((str(tmp_path / "run"), "here"), ("memory://bucket/runs/mine", "there")):
        with pytest.raises(SystemExit) as ended:
            main(["generate", source, *asked, "--out", str(tmp_path / name)])
        assert ended.value.code == 0
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
