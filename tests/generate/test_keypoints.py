"""Keypoints lie on the same spots of the objects in composites as in the sources: every spot has a colour."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from ruamel.yaml import YAML

from terse.errors import DataError
from terse.generate import GenerateSettings, generate
from terse.recipe import Recipe, load_recipe
from terse.sources.coco import read_coco
from terse.sources.yolo import read_yolo

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NAMES = ["left_eye", "right_eye", "tail"]
COLOURS = np.array([(255, 40, 40), (40, 255, 40), (40, 40, 255)])  # BGR
GREY = 120
SETTINGS = GenerateSettings(count=10, objects=(2, 3), max_overlap=0.9, min_visible=0.0, image="png", blends=("none",))


def creatures(folder: Path, count: int, *, keypoints: bool = True) -> Path:
    """Grey boxes with three coloured spots, one of them wider than high, on black."""
    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(len(folder.name))
    images: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    for i in range(count):
        pixels = np.zeros((120, 160, 3), np.uint8)
        x, y, width, height = int(random.integers(4, 60)), int(random.integers(4, 30)), 90, 70
        pixels[y : y + height, x : x + width] = GREY
        points = []
        for (along, down), colour in zip(((0.2, 0.25), (0.75, 0.3), (0.5, 0.75)), COLOURS, strict=True):
            px, py = x + along * width, y + down * height
            cv2.circle(pixels, (round(px), round(py)), 8, colour.tolist(), -1)
            points += [px, py, 2]
        cv2.imwrite(str(folder / "images" / f"{i}.png"), pixels)
        images.append({"id": i, "file_name": f"{i}.png", "width": 160, "height": 120})
        outline = [x, y, x + width, y, x + width, y + height, x, y + height]
        note = {"id": i + 1, "image_id": i, "category_id": 1, "bbox": [x, y, width, height], "segmentation": [outline]}
        notes.append({**note, **({"keypoints": points, "num_keypoints": 3} if keypoints else {})})
    category = {
        "id": 1,
        "name": "creature",
        **({"keypoints": NAMES, "skeleton": [[1, 2], [2, 3]]} if keypoints else {}),
    }
    file = folder / "set.json"
    file.write_text(json.dumps({"images": images, "annotations": notes, "categories": [category]}))
    return file


def recipe_of(root: Path, *, fore: bool = True, back: bool = True) -> Recipe:
    files = [creatures(root / "fore", 3, keypoints=fore), creatures(root / "back", 3, keypoints=back)]
    sources = [f"{name}.coco={file}" for name, file in zip(("foregrounds", "backgrounds"), files, strict=True)]
    return load_recipe("paste", [*sources, "poses.scale=[0.4, 0.7]", "poses.min_visible=0.5", "cleanup=false"])


def spots_are_where_they_are_said(image: np.ndarray, points: np.ndarray) -> tuple[int, int]:
    """How many spots are seen and how many hidden; the colour under each says so too."""
    for (x, y, seen), colour in zip(points, COLOURS, strict=True):
        if seen == 2:
            assert np.abs(image[int(y), int(x)].astype(int) - colour).max() < 60
    return int((points[:, 2] == 2).sum()), int((points[:, 2] == 1).sum())


def test_coco_keypoints_follow_the_pose(tmp_path: Path) -> None:
    generate(recipe_of(tmp_path), SETTINGS, tmp_path / "set", workers=0)
    data = COCO(str(tmp_path / "set" / "annotations.json"))
    assert data.loadCats([1])[0] == {"id": 1, "name": "creature", "keypoints": NAMES, "skeleton": [[1, 2], [2, 3]]}
    counts = {True: np.zeros(2, int), False: np.zeros(2, int)}
    outside = 0
    for item in data.loadAnns(data.getAnnIds()):
        image = cv2.imread(str(tmp_path / "set" / "images" / data.imgs[item["image_id"]]["file_name"]))
        points = np.array(item["keypoints"]).reshape(3, 3)
        assert item["num_keypoints"] == (points[:, 2] > 0).sum()
        outside += 3 - item["num_keypoints"]
        counts[item["pasted"]] += spots_are_where_they_are_said(image, points)
    assert min(counts[True].min(), counts[False].min(), outside) > 0  # seen, hidden and outside, pasted or not
    again = read_coco(tmp_path / "set" / "annotations.json")
    assert (again.keypoint_names, again.keypoint_lines) == (tuple(NAMES), ((1, 2), (2, 3)))


def test_yolo_pose_says_the_same_as_coco(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    for kind in ("coco", "yolo_pose"):
        generate(recipe, SETTINGS.model_copy(update={"format": kind}), tmp_path / kind, workers=0)
    reader = YAML(typ="safe", pure=True)
    settings = reader.load((tmp_path / "yolo_pose" / "data.yaml").read_text("utf-8"))
    assert (settings["kpt_shape"], settings["flip_idx"]) == ([3, 3], [1, 0, 2])
    texts = [file.read_text("utf-8") for file in (tmp_path / "yolo_pose" / "labels").iterdir()]
    assert {len(line.split()) for text in texts for line in text.splitlines()} == {5 + 3 * 3}
    coco, yolo = read_coco(tmp_path / "coco" / "annotations.json"), read_yolo(tmp_path / "yolo_pose")
    assert coco.keypoints is not None
    assert yolo.keypoints is not None
    np.testing.assert_allclose(yolo.boxes_px, coco.boxes_px, atol=1e-3)
    np.testing.assert_allclose(yolo.keypoints, coco.keypoints, atol=0.02)


def test_foregrounds_without_keypoints_are_named(tmp_path: Path) -> None:
    result = generate(recipe_of(tmp_path, fore=False), SETTINGS, tmp_path / "set", workers=0)
    assert (
        "keypoints of pasted objects: the foregrounds' source has none, only other objects have them"
        in result["skipped"]
    )
    notes = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))["annotations"]
    assert {item["num_keypoints"] for item in notes if item["pasted"]} == {0}
    assert max(item["num_keypoints"] for item in notes) == 3


def test_a_set_without_keypoints_says_nothing_of_them(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, fore=False, back=False)
    generate(recipe, SETTINGS, tmp_path / "set", workers=0)
    data = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))
    assert data["categories"] == [{"id": 1, "name": "creature"}]
    assert not any("keypoints" in item for item in data["annotations"])
    with pytest.raises(DataError) as error:
        generate(recipe, SETTINGS.model_copy(update={"format": "yolo_pose"}), tmp_path / "pose", workers=0)
    assert str(error.value) == (
        "format: expected sources whose objects have keypoints, the same number each, for yolo_pose, got none; choose yolo"
    )


def test_keypoints_of_scenes_drawn_at_run_time_are_written(tmp_path: Path) -> None:
    recipe = load_recipe(
        "shapes", ["data={kind: shapes, canvas_px: 64, classes: [arrow], objects: 1, train: 6, val: 2, test: 2}"]
    )
    generate(recipe, GenerateSettings(count=4, image="png"), tmp_path / "set", workers=0)
    data = json.loads((tmp_path / "set" / "annotations.json").read_text("utf-8"))
    assert data["categories"] == [{"id": 1, "name": "arrow", "keypoints": ["0", "1"], "skeleton": []}]
    for item in data["annotations"]:
        x, y, width, height = item["bbox"]
        points = np.array(item["keypoints"]).reshape(2, 3)
        seen = points[points[:, 2] == 2, :2]
        assert (np.abs(seen - (x + width / 2, y + height / 2)) <= (width / 2 + 2, height / 2 + 2)).all()
    assert any(item["num_keypoints"] for item in data["annotations"])
