"""Masks of a whole data set: the same on any number of workers and after a kill, and read again as a source."""

import json
from dataclasses import replace

import numpy as np
import pytest

import drawn_boxes
from drawn_boxes import blob, box_of, voc
from killing import Killed
from terse.errors import RunError
from terse.masks.coco_file import dropped_rows, read_masks, write_masks
from terse.masks.grabcut import GrabCut
from terse.masks.make import make_masks, request_of
from terse.masks.segmentation import find_segmentation
from terse.masks.source_file import read_told
from terse.progress import Observer
from terse.sources.coco import read_coco
from terse.sources.masks import draw_mask
from terse.sources.voc import read_voc
from terse.workers import local_executor


class KillAfter(Observer):
    """Ends the job when so many masks are made."""

    def __init__(self, masks):
        self.masks = masks

    def advance(self, what, done, total):
        if done >= self.masks:
            raise Killed


def made(annotations, parts, workers=0, **options):
    return make_masks(annotations, parts, GrabCut(), "grabcut", executor=local_executor(workers), **options)


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    root = tmp_path_factory.mktemp("boxes")
    file, truths = drawn_boxes.coco(root, count=10)
    return read_coco(file, root / "images"), truths


@pytest.fixture(scope="module")
def masks(boxes, tmp_path_factory):
    return made(boxes[0], tmp_path_factory.mktemp("parts") / "p")


def test_every_box_gets_a_mask_that_is_read_again_as_a_source(boxes, masks, tmp_path):
    annotations, truths = boxes
    write_masks(masks, (), tmp_path / "masks.json", {})
    again = read_coco(tmp_path / "masks.json", annotations.root)
    assert again.usable.all()
    assert again.paths == annotations.paths
    np.testing.assert_array_equal(again.boxes_px, annotations.boxes_px)
    assert [again.classes[k] for k in again.labels] == [annotations.classes[k] for k in annotations.labels]
    for mask, true in zip(again.masks, truths, strict=True):
        drawn = draw_mask(mask, again.root, drawn_boxes.SIZE_PX) > 127
        assert (drawn & true).sum() / (drawn | true).sum() > 0.9
    assert all(one.source == "grabcut" and 0 < one.score <= 1 for one in masks.made.values())


def test_two_workers_make_the_same(boxes, masks, tmp_path):
    assert made(boxes[0], tmp_path / "p", workers=2).made == masks.made


def test_a_killed_job_goes_on_and_makes_the_same(boxes, masks, tmp_path):
    with pytest.raises(Killed):
        made(boxes[0], tmp_path / "p", observer=KillAfter(8))
    kept = sorted((tmp_path / "p").glob("0*.json"))
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert made(boxes[0], tmp_path / "p", resume=True).made == masks.made
    assert kept[0].stat().st_mtime_ns == before


def test_parts_of_other_data_are_not_gone_on_with(boxes, masks, tmp_path):
    annotations, _ = boxes
    made(annotations.keep_objects(np.arange(10) < 3), tmp_path / "p")
    with pytest.raises(
        RunError, match=r"p: expected the data and engine that the set of masks began with, got another data"
    ):
        made(annotations, tmp_path / "p", resume=True)


def test_parts_begun_when_a_given_folder_was_read_by_names_alone_are_not_gone_on_with(tmp_path):
    cat = blob((25, 40), (18, 25))
    annotations = read_voc(voc(tmp_path / "voc", [("cat", 8, cat, box_of(cat))]))
    own = find_segmentation(annotations)
    assert "found_by" not in request_of(
        annotations, GrabCut(), "grabcut", own
    )  # as before: VOC's own are found as they were
    parts, given = tmp_path / "p", tmp_path / "seg"
    given.mkdir()
    parts.mkdir()
    begun = request_of(annotations, GrabCut(), "grabcut", given)
    assert begun.pop("found_by") == "path"
    (parts / "request.json").write_text(json.dumps(begun))
    with pytest.raises(RunError, match=r'got another found_by: "path" instead of null'):
        made(annotations, parts, segmentation=given, resume=True)


def test_an_image_that_is_gone_leaves_its_objects_without_a_mask(tmp_path):
    file, _ = drawn_boxes.coco(tmp_path, count=3)
    annotations = read_coco(file, tmp_path / "images")
    (tmp_path / "images/01.png").unlink()
    found = made(annotations, tmp_path / "p")
    assert sorted(found.made) == [0, 2]
    assert list(found.failed) == [1]
    assert found.failed[1].startswith("01.png: expected an image file, got nothing")
    write_masks(found, (), tmp_path / "m.json", {})
    assert "segmentation" not in json.loads((tmp_path / "m.json").read_text())["annotations"][1]


def test_crowds_are_passed_over_and_masks_that_the_data_have_are_kept(tmp_path):
    drawn_boxes.coco(tmp_path, count=3)
    data = json.loads((tmp_path / "boxes.json").read_text())
    outline = [[40.0, 30.0, 60.0, 30.0, 60.0, 50.0]]
    data["annotations"][0]["segmentation"] = outline
    data["annotations"][1]["iscrowd"] = 1
    data["annotations"].append({**data["annotations"][2], "id": 9})
    (tmp_path / "boxes.json").write_text(json.dumps(data))
    annotations = read_coco(tmp_path / "boxes.json", tmp_path / "images")
    found = made(annotations, tmp_path / "p")
    assert sorted(found.made) == [2, 3]
    write_masks(found, (), tmp_path / "m.json", {})
    written = json.loads((tmp_path / "m.json").read_text())["annotations"]
    assert written[0]["segmentation"] == outline
    assert (written[1]["iscrowd"], "segmentation" in written[1]) == (1, False)


def _with_keypoints_and_fields(root):
    """Four boxes: two have keypoints, one class has none, and images say what they are in texts and numbers."""
    file, _ = drawn_boxes.coco(root, count=4)
    data = json.loads(file.read_text())
    for row, image in enumerate(data["images"]):
        image |= {"split": ("train", "val")[row % 2], "take": row // 2, "weight": 0.5, "day": row > 2, "place": "7"}
    names = {"keypoints": ["left", "right", "top"], "skeleton": [[1, 3], [2, 3]]}
    data["categories"] = [{"id": 1, "name": "blob", "supercategory": "x", **names}, {"id": 2, "name": "drop"}]
    data["annotations"][0] |= {"keypoints": [50.1, 40, 2, 60.25, 41, 1, 0, 0, 0], "num_keypoints": 2}
    data["annotations"][2] |= {"keypoints": [50, 40, 2, 60, 41, 2, 55, 38.5, 2], "num_keypoints": 3}
    file.write_text(json.dumps(data))
    return file


def test_keypoints_and_what_images_say_of_themselves_are_kept(tmp_path):
    annotations = read_coco(_with_keypoints_and_fields(tmp_path), tmp_path / "images")
    write_masks(made(annotations, tmp_path / "p"), (), tmp_path / "m.json", {})
    again = read_coco(tmp_path / "m.json", tmp_path / "images")
    np.testing.assert_array_equal(again.keypoints, annotations.keypoints)
    assert again.skeleton == annotations.skeleton
    assert [*again.image_fields] == [*annotations.image_fields]
    assert again.field("take") == ("0", "0", "1", "1")
    written = json.loads((tmp_path / "m.json").read_text())
    names = {"keypoints": ["left", "right", "top"], "skeleton": [[1, 3], [2, 3]]}
    assert written["categories"] == [{"id": 1, "name": "blob", **names}, {"id": 2, "name": "drop"}]
    first = written["annotations"][0]
    assert (first["keypoints"], first["num_keypoints"]) == ([50.1, 40, 2, 60.25, 41, 1, 0, 0, 0], 2)
    assert "keypoints" not in written["annotations"][1]
    said = {"split": "val", "take": 1, "weight": 0.5, "day": True, "place": "7"}
    assert written["images"][3] == {**said, "id": 4, "file_name": "03.png", "width": 120, "height": 90}


@pytest.mark.parametrize(
    ("where", "count"),
    [({"split": "val"}, 2), ({"take": 1}, 2), ({"weight": 0.5}, 4), ({"day": True}, 1), ({"place": "7"}, 4)],
)
def test_where_chooses_the_same_images_of_the_masks_as_of_the_boxes(tmp_path, where, count):
    file = _with_keypoints_and_fields(tmp_path)
    whole = read_coco(file, tmp_path / "images")
    write_masks(made(whole, tmp_path / "p"), (), tmp_path / "m.json", {})
    chosen, again = (read_coco(one, tmp_path / "images", where) for one in (file, tmp_path / "m.json"))
    assert (again.paths, len(again)) == (chosen.paths, count)


def test_categories_and_areas_that_a_coco_file_tells_are_kept(tmp_path):
    file, _ = drawn_boxes.coco(tmp_path, count=5)
    data = json.loads(file.read_text())
    data["categories"] = [{"id": "18", "name": "dog", "supercategory": "animal"}, {"id": 17.0, "name": "cat"}]
    data["categories"] += [{"id": "x", "name": "odd"}, {"id": 1, "name": "empty"}]
    outline = {"segmentation": [[40.0, 30.0, 61.0, 30.0, 40.0, 51.0]], "bbox": [40, 30, 21, 21]}
    for line, area in zip(data["annotations"], (220.5, 0, None, 7, 9), strict=True):
        line |= {"category_id": 17 + line["id"] % 2, "area": area, **(outline if line["id"] < 4 else {})}
    data["annotations"][3]["id"] = 0  # of two objects of one id, in two images, none is told
    file.write_text(json.dumps(data))
    annotations = read_coco(file, tmp_path / "images")
    found = made(annotations, tmp_path / "p")
    write_masks(found, (), tmp_path / "m.json", {}, read_told(file))
    written = json.loads((tmp_path / "m.json").read_text())
    assert written["categories"] == [
        {"id": 18, "name": "dog", "supercategory": "animal"},
        {"id": 17, "name": "cat"},
        {"id": 2, "name": "odd"},
        {"id": 1, "name": "empty"},
    ]
    assert [line["category_id"] for line in written["annotations"]] == [17, 18, 17, 18, 17]
    drawn = [
        int((draw_mask(mask, annotations.root, drawn_boxes.SIZE_PX) > 127).sum()) for mask in annotations.masks[:4]
    ]
    assert 200 < drawn[0] < 240
    assert [line["area"] for line in written["annotations"]] == [*drawn, found.made[4].area_px]
    data["annotations"][3]["id"] = 3
    file.write_text(json.dumps(data))
    found = replace(found, annotations=read_coco(file, tmp_path / "images"))
    write_masks(found, {4}, tmp_path / "m.json", {}, read_told(file, {"cat": "pet"}))
    written = json.loads((tmp_path / "m.json").read_text())
    assert [line["area"] for line in written["annotations"]] == [220.5, drawn[1], drawn[2], 7, 9]
    assert [one["id"] for one in written["categories"]] == [18, 2, 3, 1]  # cat is another class than pet


def test_a_segmentation_is_taken_before_the_engine(tmp_path):
    left, one, two = blob((25, 40), (18, 25)), blob((70, 45), (16, 22)), blob((85, 45), (16, 22))
    objects = [("cat", 8, mask, box_of(mask)) for mask in (left, one, two)]
    annotations = read_voc(voc(tmp_path / "voc", objects))
    found = made(annotations, tmp_path / "p", segmentation=find_segmentation(annotations))
    assert [found.made[row].source for row in range(3)] == ["segmentation", "grabcut", "grabcut"]
    assert found.made[0].area_px == left.sum()
    assert found.made[0].score is None


def test_dropped_masks_leave_their_boxes_and_come_back(boxes, masks, tmp_path):
    annotations, _ = boxes
    request = request_of(annotations, GrabCut(), "grabcut", None)
    keys = annotations.object_keys
    worst = min(masks.made.values(), key=lambda one: one.score).score
    dropped = dropped_rows(masks, [keys[3], keys[7]], min_score=worst)
    assert dropped == {3, 7}
    write_masks(masks, dropped, tmp_path / "m.json", request)
    left = read_coco(tmp_path / "m.json", annotations.root)
    assert len(left.labels) == 10
    assert np.flatnonzero(~left.masked).tolist() == [3, 7]
    assert read_masks(tmp_path / "m.json", annotations, request, None).made == masks.made


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines.pop(),
        lambda lines: lines.reverse(),
        lambda lines: lines.append(3),
        lambda lines: lines[0].pop("segmentation"),
        lambda lines: lines[0].update(score="x"),
        lambda lines: lines[0].update(scores={"a": 1}),
        lambda lines: lines[0]["segmentation"].update(counts="zzz"),
    ],
)
def test_masks_that_were_changed_since_are_refused(boxes, masks, tmp_path, change):
    annotations, _ = boxes
    request, file = request_of(annotations, GrabCut(), "grabcut", None), tmp_path / "m.json"
    write_masks(masks, (), file, request)
    written = json.loads(file.read_text())
    change(written["annotations"])
    file.write_text(json.dumps(written))
    with pytest.raises(RunError) as caught:
        read_masks(file, annotations, request, None)
    assert str(caught.value) == (
        f"--out: expected the masks as they were written, got {file}, whose annotations were changed since; "
        "name another or remove it"
    )


@pytest.mark.parametrize("text", ["[{", "[]"])
def test_a_damaged_shard_is_named(boxes, tmp_path, text):
    annotations, _ = boxes
    with pytest.raises(Killed):
        made(annotations, tmp_path / "p", observer=KillAfter(1))
    part = tmp_path / "p" / "000000.json"
    part.write_text(text)
    with pytest.raises(RunError) as caught:
        made(annotations, tmp_path / "p", resume=True)
    assert str(caught.value) == f"{part}: expected masks, got a damaged file; remove it and go on with `resume`"
