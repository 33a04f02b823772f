"""Recipes that the pages on targets and poses show, trained for a few steps on drawn data; minutes together."""

import re
from pathlib import Path

import pytest

from terse.recipe import load_recipe
from terse.run import train
from terse.yaml_text import read_yaml

pytestmark = pytest.mark.slow
DOCS = Path(__file__).parents[1] / "docs"
SHOWN = {
    f"{page}-{number}": text
    for page in ("targets", "poses")
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", (DOCS / f"{page}.md").read_text("utf-8"), re.DOTALL))
}
DRAWN = ("data={kind: shapes, canvas_px: 64, objects: 1, train: 12, val: 4, test: 4, backgrounds: 6}",)
FEW = (
    *(
        "canvas_px=64",
        "cycles=1",
        "pretrain.epochs=1",
        "pretrain.batch_size=4",
        "fine_tune.epochs=1",
        "fine_tune.batch_size=4",
    ),
    *(
        "pool={per_cycle: 4, candidates: 8}",
        "hardness={kind: probability, below: 1}",
        "runtime.workers=0",
        *("synthesis.kind=learned", "synthesis.network=photographs"),  # drawn photographs mine
        "synthesis.steps=1",
    ),
    *(
        "synthesis.input_px=128",
        "synthesis.batch_size=4",
        "synthesis.statistics_pairs=8",
        "synthesis.discriminator=false",
    ),
    "synthesis.backbone=mobilenet_v3_small",
)


@pytest.fixture
def work(drawn, tmp_path, monkeypatch):
    """Data under the names that the pages use."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    drawn.coco(count=8)
    drawn.coco("val", seed=100)
    drawn.backgrounds()
    (drawn.root / "train").symlink_to("train-images")
    (drawn.root / "rooms").symlink_to("backgrounds")
    return drawn


def meshes(root):
    trimesh = pytest.importorskip("trimesh")
    pytest.importorskip("embreex")
    (root / "models" / "ball").mkdir(parents=True)
    trimesh.creation.icosphere(subdivisions=2).export(root / "models" / "ball" / "a.glb")


@pytest.mark.parametrize("name", list(SHOWN))
def test_a_documented_recipe_trains(work, name):
    text = SHOWN[name]
    given = read_yaml_text(work.root / "shown.yaml", text)
    if "meshes" in text:
        meshes(work.root)
    if "base" in given:
        path = work.root / "shown.yaml"
    elif "foregrounds" in given:
        path = work.recipe(text)
    else:
        path = work.root / "shown.yaml"
        path.write_text(f"base: shapes\n{text}", "utf-8")
    overrides = list(FEW)
    if "foregrounds" not in given:
        overrides += [*DRAWN, "target.image_size_px=64"] if "target" not in given else DRAWN
    result = train(load_recipe(path, overrides), out=work.root / "run")
    assert result["cycles"][0]["samples"] > 0
    assert (work.root / "run" / "page" / "page.json").is_file()


def read_yaml_text(path, text):
    path.write_text(text, "utf-8")
    return read_yaml(text, path.name)
