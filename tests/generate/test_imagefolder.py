"""`--format imagefolder`, read by a small reader of these lines alone, and by Hugging Face's own loader."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from pycocotools import mask as rle

from drawn_sets import coco_of, recipe_of
from terse.evaluation.hardness import Verdict
from terse.generate import GenerateSettings, Origin, SetPlayers, generate, of_recipe
from terse.placements import Placements
from terse.recipe import Recipe

SETTINGS = GenerateSettings(count=6, objects=(1, 3), with_real=True, image="png", shard_images=4, min_visible=0.0)


@pytest.fixture(scope="module")
def real(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Four real images to train on, two to judge by, and backgrounds with objects of their own."""
    root = tmp_path_factory.mktemp("real")
    files = {
        name: coco_of(root / name, count, (80, 60), 2, seed) for name, count, seed in (("train", 4, 3), ("val", 2, 4))
    }
    boxes_alone = json.loads(files["val"].read_text("utf-8"))
    for one in boxes_alone["annotations"]:
        one["segmentation"] = []
    files["val"].write_text(json.dumps(boxes_alone), "utf-8")
    return recipe_of(
        world, f"backgrounds.images={world / 'back' / 'images'}", *(f"{k}.coco={v}" for k, v in files.items())
    )


def _verdict(placements: Placements) -> Verdict:
    return Verdict(torch.ones(len(placements), dtype=torch.bool), torch.from_numpy(placements.seed % 101 / 100))


def judged(recipe: Recipe) -> Origin:
    origin = of_recipe(recipe)
    return replace(origin, load=lambda: SetPlayers(origin.load().proposer, _verdict), trained=True)


@pytest.fixture(scope="module")
def sets(real: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for name, changes in (
        ("coco", {}),
        ("imagefolder", {}),
        ("polygon", {"format": "imagefolder", "masks": "polygon"}),
        ("box", {"format": "imagefolder", "masks": "box"}),
    ):
        generate(real, SETTINGS.model_copy(update={"format": name, **changes}), root / name, workers=0)
    changes = {"format": "imagefolder", "hardness": (0.0, 1.0)}
    generate(judged(real), SETTINGS.model_copy(update=changes), root / "judged", workers=0)
    nothing = Path(real.val.coco).with_name("nothing.json")
    content = json.loads(Path(real.val.coco).read_text("utf-8"))
    nothing.write_text(json.dumps({**content, "annotations": []}), "utf-8")
    bare = real.model_copy(update={"val": real.val.model_copy(update={"coco": nothing})})
    generate(bare, SETTINGS.model_copy(update={"format": "imagefolder"}), root / "bare", workers=0)
    return {path.name: path for path in root.iterdir()}


def rows_of(folder: Path) -> list[dict]:
    return pq.read_table(folder / "metadata.parquet").to_pylist()


@pytest.mark.parametrize("split", ["", "val"])
@pytest.mark.parametrize("kind", ["imagefolder", "polygon", "box"])
def test_each_line_says_what_the_coco_set_says(sets: dict[str, Path], split: str, kind: str) -> None:
    told = json.loads((sets["coco"] / split / "annotations.json").read_text("utf-8"))
    names = [one["name"] for one in told["categories"]]
    assert (sets[kind] / "classes.txt").read_text("utf-8").splitlines() == names
    rows = rows_of(sets[kind] / split)
    assert [row["image_id"] for row in rows] == [one["id"] for one in told["images"]]
    for row, image in zip(rows, told["images"], strict=True):
        with Image.open(sets[kind] / split / row["file_name"]) as picture:
            assert picture.size == (row["width"], row["height"]) == (image["width"], image["height"])
        assert row["real"] == image.get("real", False)
        wanted = [one for one in told["annotations"] if one["image_id"] == row["image_id"]]
        objects = row["objects"]
        assert objects["bbox"] == [one["bbox"] for one in wanted]
        assert [number + 1 for number in objects["categories"]] == [one["category_id"] for one in wanted]
        assert objects["iscrowd"] == [one["iscrowd"] for one in wanted]
        assert objects["visible_fraction"] == [one["visible_fraction"] for one in wanted]
        assert {len(values) for values in objects.values()} == {len(wanted)}
        assert ("segmentation" in objects) == (kind != "box")
        for mine, one in zip(objects.get("segmentation", ()), wanted, strict=False):
            if "segmentation" not in one:
                x, y, width, height = one["bbox"]
                outline = [x, y, x + width, y, x + width, y + height, x, y + height]
                assert mine in ([outline], {"size": [row["height"], row["width"]], "counts": ""})
            elif kind == "imagefolder":
                assert mine == one["segmentation"]
            else:
                size = row["height"], row["width"]
                assert rle.area(rle.merge(rle.frPyObjects(mine, *size))) == rle.area(one["segmentation"])


def test_each_line_has_a_hardness_and_real_images_have_one_below_all_others(sets: dict[str, Path]) -> None:
    assert {row["hardness"] for row in rows_of(sets["imagefolder"])} == {-1.0}  # nobody judged
    rows = rows_of(sets["judged"])
    assert [row["hardness"] for row in rows if row["real"]] == [-1.0] * 4
    composites = [row["hardness"] for row in rows if not row["real"]]
    assert len(set(composites)) > 1
    assert min(composites) >= 0
    assert {type(row["hardness"]) for kind in sets for row in rows if kind != "coco"} == {float}


@pytest.mark.filterwarnings("ignore")  # of the library's own imports
@pytest.mark.parametrize("kind", ["imagefolder", "polygon", "box", "judged", "bare"])
def test_hugging_faces_loader_reads_both_splits(
    sets: dict[str, Path], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets", reason="no loader: the package datasets is missing")
    found = datasets.load_dataset(str(sets[kind]), cache_dir=str(tmp_path / "cache"))
    assert any(row["objects"]["bbox"] for row in found["validation"]) == (kind != "bare")
    assert {split: len(found[split]) for split in found} == {"train": 10, "validation": 2}
    for split, folder in (("train", ""), ("validation", "val")):
        for row, wanted in zip(found[split], rows_of(sets[kind] / folder), strict=True):
            file = sets[kind] / folder / wanted.pop("file_name")
            assert (np.array(row.pop("image")) == np.array(Image.open(file))).all()
            assert row == wanted
