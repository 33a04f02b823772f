"""`with_real`: train images beside the composites and a val of their own, as each format's readers find them."""

import json
from pathlib import Path

import numpy as np
import pytest
import webdataset
from torchvision.datasets import VOCDetection

from drawn_sets import coco_of, files_of, recipe_of
from terse.errors import RecipeError
from terse.generate import GenerateSettings, generate, render
from terse.recipe import Recipe, load_recipe
from terse.sources.coco import read_coco
from terse.sources.yolo import read_yolo

pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),  # webdataset leaves shards to the collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SETTINGS = GenerateSettings(count=6, with_real=True, image="png", shard_images=4)


@pytest.fixture(scope="module")
def real(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Five real images to train on, three to judge by."""
    root = tmp_path_factory.mktemp("real")
    files = {
        name: coco_of(root / name, count, (80, 60), 2, seed) for name, count, seed in (("train", 5, 3), ("val", 3, 4))
    }
    sources = [f"{name}.coco={file}" for name, file in files.items()]
    return recipe_of(world, f"backgrounds.images={world / 'back' / 'images'}", *sources)


@pytest.fixture(scope="module")
def sets(real: Recipe, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    for kind in ("coco", "voc", "yolo", "semantic", "webdataset"):
        result = generate(real, SETTINGS.model_copy(update={"format": kind}), root / kind, workers=0)
        assert (result["images"], result["real"]) == (6, {"train": 5, "val": 3})
    return {path.name: path for path in root.iterdir()}


def test_coco_has_a_file_for_each_split(sets: dict[str, Path], real: Recipe) -> None:
    out = sets["coco"]
    train, val = read_coco(out / "annotations.json"), read_coco(out / "val" / "annotations.json")
    assert (len(train), len(val)) == (11, 3)
    assert val.root == (out / "val" / "images").resolve()
    of_recipe = real.val.build()  # type: ignore[union-attr]
    assert val.classes == of_recipe.classes
    assert val.labels.tolist() == of_recipe.labels.tolist()
    np.testing.assert_allclose(val.boxes_px, of_recipe.boxes_px, atol=1)  # boxes are those of the masks
    assert val.masked.all()
    images = json.loads((out / "annotations.json").read_text("utf-8"))["images"]
    assert [image.get("real", False) for image in images] == [False] * 6 + [True] * 5
    names = [item["name"] for item in json.loads((out / "val" / "annotations.json").read_text("utf-8"))["categories"]]
    assert names == list(train.classes)


def test_yolo_val_is_not_its_train(sets: dict[str, Path]) -> None:
    train, val = read_yolo(sets["yolo"]), read_yolo(sets["yolo"], "val")
    assert (len(train), len(val)) == (11, 3)
    assert not set(train.files) & set(val.files)
    assert (len(val.labels), train.skipped, val.skipped) == (6, (), ())
    assert "training set" not in (sets["yolo"] / "data.yaml").read_text("utf-8")


def test_voc_lists_both_splits(sets: dict[str, Path]) -> None:
    counts = [len(VOCDetection(str(sets["voc"]), "2012", name)) for name in ("train", "val", "trainval")]
    assert counts == [11, 3, 14]


def test_webdataset_and_semantic_have_a_folder_of_their_own(sets: dict[str, Path]) -> None:
    out = sets["webdataset"]
    for folder, count in ((out, 11), (out / "val", 3)):
        shards = sorted(str(path) for path in (folder / "shards").iterdir())
        assert len(list(webdataset.WebDataset(shards, shardshuffle=False))) == count
    for folder, count in ((sets["semantic"], 11), (sets["semantic"] / "val", 3)):
        masks, images = ([path.stem for path in sorted((folder / name).iterdir())] for name in ("masks", "images"))
        assert (len(masks), masks) == (count, images)


def test_hashes_name_every_image(sets: dict[str, Path]) -> None:
    for kind in ("coco", "voc", "yolo"):
        listed = [line.split("  ")[1] for line in (sets[kind] / "SHA256SUMS").read_text("utf-8").splitlines()]
        assert len(listed) == 14
        assert all((sets[kind] / name).is_file() for name in listed)
    manifest = json.loads((sets["coco"] / "manifest.json").read_text("utf-8"))
    assert "val/annotations.json" in manifest["sha256"]


def test_a_set_rendered_again_has_the_same_files(sets: dict[str, Path], tmp_path: Path) -> None:
    render(sets["coco"] / "placements.parquet", tmp_path / "again", workers=0)
    first, again = (files_of(folder) for folder in (sets["coco"], tmp_path / "again"))
    for name in first.keys() - {"manifest.json", "placements.parquet"}:
        assert again[name] == first[name], name


def test_drawn_data_has_real_images_too(tmp_path: Path) -> None:
    recipe = load_recipe("shapes")
    result = generate(recipe, GenerateSettings(count=2, with_real=True, format="yolo"), tmp_path / "set", workers=0)
    assert result["real"]["train"] > 0
    assert len(read_yolo(tmp_path / "set", "val")) == result["real"]["val"]


def test_scenes_that_are_given_up_leave_the_real_images(real: Recipe, tmp_path: Path) -> None:
    poses = {"shift": (0.9, 0.9), "scale": (0.9, 0.9), "min_visible": 0.0}
    never = real.model_copy(update={"poses": real.poses.model_copy(update=poses)})
    settings = SETTINGS.model_copy(update={"max_truncation": 0.0, "tries": 1})
    with pytest.raises(Exception, match="limits: expected placements that meet them"):
        generate(never, settings, tmp_path / "set", workers=0)
    assert not (tmp_path / "set").exists()


def test_a_recipe_without_real_images_is_refused(plain: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        generate(plain, SETTINGS, tmp_path / "set", workers=0)
    assert str(error.value) == (
        "with_real: expected a recipe that names real images to train on, got none; "
        "for example train.coco=F train.images=D"
    )
    assert not (tmp_path / "set").exists()
