"""Whole sets: the same for any number of workers, resumed, quotas exact, limits kept, mistakes named."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from drawn_sets import files_of, recipe_of
from terse.errors import DataError, RecipeError, RunError
from terse.evaluation.hardness import Verdict
from terse.generate import GenerateSettings, Origin, SetPlayers, generate, of_recipe, render
from terse.generate import shard as shards
from terse.generate.trained import LoadPlayers
from terse.placements import Placements
from terse.progress import Observer
from terse.recipe import Recipe, load_recipe
from terse.requests import Requests
from terse.sources.coco import read_coco
from terse.sources.run_data import paste_data
from terse.synthesis.materials import Materials, materials_of
from terse.synthesis.proposer import BaseProposer, pastes_of

SMALL = GenerateSettings(count=20, shard_images=6, objects=(0, 3), max_overlap=0.4, blends=("alpha", "box"))


def annotations(out: Path) -> dict:
    return json.loads((out / "annotations.json").read_text("utf-8"))


@pytest.mark.parametrize("kind", ["coco", "voc", "yolo", "webdataset"])
def test_the_set_is_the_same_for_any_number_of_workers(kind: str, labelled: Recipe, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"format": kind})
    counts = (0, 1, 3) if kind == "coco" else (0, 2)  # each worker starts an interpreter
    results = [generate(labelled, settings, tmp_path / str(n), workers=n) for n in counts]
    files = [files_of(tmp_path / str(n)) for n in counts]
    assert all(other == files[0] for other in files[1:])
    assert not any(name.startswith(".parts") for name in files[0])
    assert all(other["per_class"] == results[0]["per_class"] for other in results)
    assert results[0]["images"] == 20


def test_another_seed_is_another_set(plain: Recipe, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        generate(plain, SMALL.model_copy(update={"seed": seed}), tmp_path / name, workers=0)
    assert files_of(tmp_path / "a")["annotations.json"] != files_of(tmp_path / "b")["annotations.json"]


def test_a_set_of_a_runs_material_is_rendered_with_the_runs_classes(labelled: Recipe, tmp_path: Path) -> None:
    """A run knows the foregrounds' classes alone; its labelled backgrounds may know others."""
    whole = paste_data(labelled)
    data = paste_data(labelled.model_copy(update={"classes": whole.classes[:1]}))
    few = of_recipe(labelled, data, square=True)
    generate(few, GenerateSettings(count=8), tmp_path / "made", workers=0)
    render(tmp_path / "made" / "placements.parquet", tmp_path / "again", workers=0)
    first, again = annotations(tmp_path / "made"), annotations(tmp_path / "again")
    assert [item["name"] for item in first["categories"]] == [whole.classes[0]] != list(whole.classes)
    assert again == first


class _Interrupted(Exception):
    pass


def test_an_interrupted_set_resumes_to_the_same_bytes(plain: Recipe, tmp_path: Path) -> None:
    generate(plain, SMALL, tmp_path / "whole", workers=0)

    class Stops(Observer):
        def advance(self, what: str, done: int, total: int) -> None:
            if done >= 12:
                raise _Interrupted

    with pytest.raises(_Interrupted):
        generate(plain, SMALL, tmp_path / "cut", workers=0, observer=Stops())
    assert not (tmp_path / "cut" / "annotations.json").exists()
    made: list[int] = []

    class Counts(Observer):
        def advance(self, what: str, done: int, total: int) -> None:
            made.append(done)

    generate(plain, SMALL, tmp_path / "cut", workers=0, resume=True, observer=Counts())
    assert made == [18, 20]  # two shards of four were whole already
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


@pytest.mark.parametrize("kind", ["coco", "webdataset"])
def test_images_that_are_gone_since_an_interruption_are_made_again(kind: str, plain: Recipe, tmp_path: Path) -> None:
    settings = SMALL.model_copy(update={"format": kind})
    generate(plain, settings, tmp_path / "whole", workers=0)

    class Stops(Observer):
        def advance(self, what: str, done: int, total: int) -> None:
            if done >= 12:
                raise _Interrupted

    with pytest.raises(_Interrupted):
        generate(plain, settings, tmp_path / "cut", workers=0, observer=Stops())
    gone = {"coco": "images/00000003.jpg", "webdataset": "shards/000001.tar"}[kind]
    (tmp_path / "cut" / gone).unlink()
    generate(plain, settings, tmp_path / "cut", workers=0, resume=True)
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


CROWDED = GenerateSettings(count=8, shard_images=1, objects=(1, 3), max_overlap=0, tries=1, seed=3)


def crowded(plain: Recipe) -> Recipe:
    """Objects so large that three of them hardly fit."""
    return plain.model_copy(update={"poses": plain.poses.model_copy(update={"scale": (0.9, 0.9), "min_visible": 0.9})})


def test_a_set_that_ended_early_ends_there_after_a_kill_too(
    plain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shard that accepted nothing was whole when the process died."""
    whole = generate(crowded(plain), CROWDED, tmp_path / "whole", workers=0)
    assert whole["images"] == 2  # of the scenes after the third, some fit
    with monkeypatch.context() as patch:
        patch.setattr("terse.generate.run_job.assemble_common", _interrupted)
        with pytest.raises(_Interrupted):
            generate(crowded(plain), CROWDED, tmp_path / "cut", workers=0)
    assert generate(crowded(plain), CROWDED, tmp_path / "cut", workers=0, resume=True)["images"] == whole["images"]
    assert files_of(tmp_path / "cut") == files_of(tmp_path / "whole")


def _interrupted(*_: object) -> None:
    raise _Interrupted


def test_a_scene_that_is_skipped_counts_in_each_of_its_blends(plain: Recipe, tmp_path: Path) -> None:
    settings = CROWDED.model_copy(
        update={"count": 15, "shard_images": 100, "all_blends": True, "blends": ("alpha", "box")}
    )
    made = generate(crowded(plain), settings, tmp_path / "set", workers=0)
    assert 0 < made["images"] < 15
    assert made["skipped"] == [f"{15 - made['images']} of 15 images: no pose with an overlap of at most 0"]


def test_digits_stay_grey_under_colours_as_in_training(tmp_path: Path) -> None:
    of_objects, of_images = (
        "{kind: photometric, tint: [0.1, 0.15]}",
        "{kind: photometric, on: image, tint: [0.1, 0.15]}",
    )
    poses = f"poses=[{{kind: affine}}, {of_objects}, {of_images}]"
    recipe = load_recipe("quickstart", ["data.train=60", "data.val=20", "data.test=20", poses])
    generate(recipe, GenerateSettings(count=3, image="png"), tmp_path / "set", workers=0)
    for file in (tmp_path / "set" / "images").iterdir():
        pixels = cv2.imread(str(file))
        assert pixels.max() > 100
        assert (pixels == pixels[..., :1]).all()


def test_resuming_a_whole_set_does_nothing(plain: Recipe, tmp_path: Path) -> None:
    first = generate(plain, SMALL, tmp_path / "out", workers=0)
    before = files_of(tmp_path / "out")
    again = generate(plain, SMALL, tmp_path / "out", workers=0, resume=True)
    assert files_of(tmp_path / "out") == before
    assert {**first, "seconds": 0, "images_per_second": 0} == {**again, "seconds": 0, "images_per_second": 0}


def test_resuming_with_another_request_is_refused(plain: Recipe, tmp_path: Path) -> None:
    generate(plain, SMALL, tmp_path / "out", workers=0)
    with pytest.raises(RunError) as error:
        generate(plain, SMALL.model_copy(update={"seed": 3}), tmp_path / "out", workers=0, resume=True)
    assert str(error.value) == (
        f"{tmp_path / 'out'}: expected the request that the set began with, got another settings.seed: 3 instead of 0"
    )


def _dies_once(folder: Path, load: LoadPlayers) -> SetPlayers:
    """The first worker to be made is killed as the system kills for memory."""
    mark = folder / "died"
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return load()


def _dies_always() -> SetPlayers:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_a_killed_workers_shard_is_made_again(plain: Recipe, tmp_path: Path) -> None:
    origin = of_recipe(plain)
    generate(origin, SMALL, tmp_path / "whole", workers=0)
    generate(replace(origin, load=partial(_dies_once, tmp_path, origin.load)), SMALL, tmp_path / "killed", workers=2)
    assert (tmp_path / "died").exists()
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "whole")


def test_workers_that_always_die_stop_the_run(plain: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RunError) as error:
        generate(replace(of_recipe(plain), load=_dies_always), SMALL, tmp_path / "out", workers=1)
    assert str(error.value) == (
        "workers: expected workers to live, got 3 that died of signal SIGKILL at shard 0; "
        "SIGKILL is the system's, when memory runs out: use fewer workers or smaller images, then `resume`"
    )


def test_labels_are_what_the_pixels_show(tmp_path: Path) -> None:
    """White squares on black: the boxes and masks must be those of the white pixels, not one pixel off."""
    alpha = np.full((50, 50), 255, np.uint8)
    (tmp_path / "cuts" / "square").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "cuts" / "square" / "a.png"), np.dstack([alpha] * 4))
    (tmp_path / "back").mkdir()
    cv2.imwrite(str(tmp_path / "back" / "black.png"), np.zeros((100, 140, 3), np.uint8))
    recipe = recipe_of_folders(tmp_path)
    settings = GenerateSettings(count=30, image="png", objects=(1, 1), blends=("none",))
    generate(recipe, settings, tmp_path / "out", workers=0)
    notes = read_coco(tmp_path / "out" / "annotations.json", tmp_path / "out" / "images")
    for image in range(len(notes)):
        pixels = cv2.imread(str(tmp_path / "out" / "images" / notes.paths[image]), cv2.IMREAD_GRAYSCALE)
        x, y, width, height = cv2.boundingRect((pixels >= 128).astype(np.uint8))
        (row,) = notes.objects_of(image)
        assert notes.boxes_px[row].tolist() == [x, y, x + width, y + height]
        annotation = annotations(tmp_path / "out")["annotations"][row]
        assert annotation["area"] == int((pixels >= 128).sum())


def recipe_of_folders(root: Path, *overrides: str) -> Recipe:
    from terse.recipe import load_recipe

    return load_recipe(
        "paste", [f"foregrounds.cutouts={root / 'cuts'}", f"backgrounds.images={root / 'back'}", *overrides]
    )


def test_quotas_are_exact(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=24, objects=(1, 3), quota={"Kästchen": 7}, max_overlap=1, min_visible=0)
    result = generate(plain, settings, tmp_path / "out", workers=0)
    table = pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()
    assert sum(row["class"] == "Kästchen" for row in table) == 7
    assert sum(result["per_class"].values()) <= len(table)  # one may be hidden wholly
    both = settings.model_copy(update={"quota": {"Kästchen": 20, "ball": 15}})
    generate(plain, both, tmp_path / "both", workers=0)
    table = pq.read_table(tmp_path / "both" / "placements.parquet").to_pylist()
    assert [sum(row["class"] == name for row in table) for name in ("Kästchen", "ball")] == [20, 15]


def test_quotas_that_cannot_be_met_are_refused(plain: Recipe, tmp_path: Path) -> None:
    cases = {
        "quota: expected a class of the foregrounds, got 'bal'; did you mean 'ball'?": {"bal": 1},
        "quota: expected at most 10 objects together, which 10 images hold, got 11; raise `count` or `objects`": {
            "ball": 11
        },
        "quota: expected 10 to 10 objects together, as 10 images of 1 to 1 hold, got 9; "
        "change `quota`, `count` or `objects`": {"ball": 4, "Kästchen": 5},
    }
    for message, quota in cases.items():
        with pytest.raises(DataError) as error:
            generate(plain, GenerateSettings(count=10, quota=quota), tmp_path / "out", workers=0)
        assert str(error.value) == message
        assert not (tmp_path / "out").exists()


def test_quotas_are_exact_where_every_scene_is_drawn_in_all_blends(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(
        count=10, quota={"ball": 4}, blends=("alpha", "box"), all_blends=True, max_overlap=1, min_visible=0
    )
    whole = settings.model_copy(update={"quota": {"ball": 4, "Kästchen": 6}})
    for name, asked in (("one", settings), ("each", whole)):
        generate(plain, asked, tmp_path / name, workers=0)
        table = pq.read_table(tmp_path / name / "placements.parquet").to_pylist()
        assert [sum(row["class"] == kind for row in table) for kind in ("ball", "Kästchen")] == [4, 6]
    cases = {
        "quota: expected multiples of 2, as `all_blends` draws every scene in 2 blends, got ball=3; give 4": {
            "quota": {"ball": 3}
        },
        "count: expected a multiple of 2 beside `quota`, as `all_blends` draws every scene in 2 blends, got 9; give 10": {
            "count": 9
        },
        "quota: expected at most 10 objects together, which 10 images hold, got 12; raise `count` or `objects`": {
            "quota": {"ball": 12}
        },
        "quota: expected 10 to 10 objects together, as 10 images of 1 to 1 hold, got 8; "
        "change `quota`, `count` or `objects`": {"quota": {"ball": 4, "Kästchen": 4}},
    }
    for message, changes in cases.items():
        with pytest.raises(DataError) as error:
            generate(plain, settings.model_copy(update=changes), tmp_path / "out", workers=0)
        assert str(error.value) == message
        assert not (tmp_path / "out").exists()
    odd = settings.model_copy(update={"count": 9, "quota": {}})
    assert generate(plain, odd, tmp_path / "odd", workers=0)["images"] == 9


def test_overlap_and_truncation_limits_hold(labelled: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=30, objects=(2, 4), max_overlap=0.2, max_truncation=0.1, min_visible=0)
    generate(labelled, settings, tmp_path / "out", workers=0)
    own = [item for item in annotations(tmp_path / "out")["annotations"] if not item["pasted"]]
    pasted = [item for item in annotations(tmp_path / "out")["annotations"] if item["pasted"]]
    assert own
    assert len(pasted) >= 60
    assert min(item["visible_fraction"] for item in own) >= 0.8
    assert min(item["visible_fraction"] for item in pasted) >= 0.9 * 0.8
    free = settings.model_copy(update={"max_overlap": 1.0, "max_truncation": 1.0})
    generate(labelled, free, tmp_path / "free", workers=0)
    assert min(item["visible_fraction"] for item in annotations(tmp_path / "free")["annotations"]) < 0.7


def test_limits_that_nothing_meets_stop(labelled: Recipe, tmp_path: Path) -> None:
    recipe = labelled.model_copy(update={"poses": labelled.poses.model_copy(update={"scale": (1.2, 1.2)})})
    settings = GenerateSettings(count=4, objects=(3, 3), max_overlap=0.01, max_truncation=0.01)
    with pytest.raises(DataError) as error:
        generate(recipe, settings, tmp_path / "out", workers=0)
    assert str(error.value) == (
        "limits: expected placements that meet them, got no pose with a truncation of at most 0.01; "
        "loosen the limit or the poses' ranges"
    )
    assert not list((tmp_path / "out").rglob("*.jpg"))


def _verdict(placements: Placements) -> Verdict:
    """As hard as the first paste is turned, 0 to 30 degrees; hard from 24 on."""
    starts = np.searchsorted(placements.image_index, np.arange(len(placements)))
    hardness = torch.from_numpy(np.abs(placements.pose[starts, 0]) / 30)
    return Verdict(hardness >= 0.8, hardness)


def _judged(load: LoadPlayers, *, keeps_hard: bool = False) -> SetPlayers:
    return SetPlayers(load().proposer, _verdict, keeps_hard)


def judged(recipe: Recipe, *, keeps_hard: bool = False) -> Origin:
    origin = of_recipe(recipe)
    return replace(origin, load=partial(_judged, origin.load, keeps_hard=keeps_hard), trained=True)


def test_a_hardness_window_keeps_what_falls_in(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=40, hardness=(0.5, 1.0), shard_images=16)
    result = generate(judged(plain), settings, tmp_path / "out", workers=2)
    assert result["images"] == 40
    rows = pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()
    assert all(abs(row["0.affine.rotation_deg"]) >= 15 for row in rows)
    assert all(row["hardness"] == pytest.approx(abs(row["0.affine.rotation_deg"]) / 30) for row in rows)
    assert all(0.5 <= image["hardness"] <= 1 for image in annotations(tmp_path / "out")["images"])


def test_an_arm_that_keeps_what_is_hard_does_so_unless_a_window_is_given(plain: Recipe, tmp_path: Path) -> None:
    origin = judged(plain, keeps_hard=True)
    for name, window, (least, most) in (("rule", None, (0.8, 1.0)), ("window", (0.0, 0.3), (0.0, 0.3))):
        generate(origin, GenerateSettings(count=12, hardness=window), tmp_path / name, workers=0)
        images = annotations(tmp_path / name)["images"]
        assert len(images) == 12
        assert all(least <= image["hardness"] <= most for image in images)


def test_a_window_that_nothing_falls_in_stops_with_what_it_saw(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=500, hardness=(1.0, 1.0))
    for workers in (0, 2):
        with pytest.raises(DataError) as error:
            generate(judged(plain), settings, tmp_path / "out", workers=workers)
        first, _, rest = str(error.value).partition("; ")
        assert first == (
            "hardness: expected composites inside the window, got no composite with a hardness of 1 to 1 in 50 tries"
        )
        words = rest.replace(",", "").split()
        least, most = float(words[words.index("to") - 1]), float(words[words.index("to") + 1])
        assert 0 <= least < 0.05
        assert 0.95 < most <= 1


def test_a_rare_window_gives_what_was_found(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(count=40, hardness=(0.98, 1.0), tries=20)
    result = generate(judged(plain), settings, tmp_path / "out", workers=0)
    assert 0 < result["images"] < 40
    missing = 40 - result["images"]
    assert result["skipped"] == [f"{missing} of 40 images: no composite with a hardness of 0.98 to 1 in 20 tries"]
    assert (
        len(annotations(tmp_path / "out")["images"])
        == result["images"]
        == len(list((tmp_path / "out/images").iterdir()))
    )


def test_hardness_needs_a_run(plain: Recipe, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        generate(plain, GenerateSettings(count=1, hardness=(0.5, 1)), tmp_path / "out", workers=0)
    assert str(error.value) == (
        "hardness: expected a trained run, whose target says what is hard, got a recipe; give a run"
    )


class Marked(BaseProposer):
    """Turns each cut-out by its number; knows what it was asked for."""

    def __init__(self, materials: Materials) -> None:
        super().__init__(materials, batch_size=1)
        self.asked: list[Requests] = []

    def propose(self, requests: Requests) -> Placements:
        assert len(requests) <= 64
        self.asked.append(requests)
        pastes = pastes_of(self.materials, requests)
        return self.placed(requests, pastes, np.stack([[index, 0, 0, 0, 0.5, 1.0] for index in pastes.foreground]))


def marked(recipe: Recipe) -> tuple[Origin, Marked]:
    data = paste_data(recipe)
    arm = Marked(materials_of(recipe, data, None, torch.device("cpu")))
    return replace(of_recipe(recipe), load=lambda: SetPlayers(arm)), arm


def test_the_arms_poses_are_taken(plain: Recipe, tmp_path: Path) -> None:
    origin, _ = marked(plain)
    generate(origin, GenerateSettings(count=100), tmp_path / "out", workers=0)
    rows = pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()
    keys = origin.material.foregrounds.keys
    assert len(rows) == 100
    assert all(row["0.affine.rotation_deg"] == keys.index(row["foreground"]) for row in rows)


@pytest.mark.usefixtures("unchecked")  # two thousand pastes
def test_seeds_are_of_each_set_scene_and_attempt(plain: Recipe, tmp_path: Path) -> None:
    def seeds_of_set(seed: int) -> list[int]:
        origin, arm = marked(plain)
        settings = GenerateSettings(count=3, objects=(1, 2), seed=seed, max_overlap=0.1)
        generate(origin, settings, tmp_path / str(seed), workers=0)
        return [number for asked in arm.asked for number in asked.seeds.tolist()]

    first, second = seeds_of_set(0), seeds_of_set(1)
    assert len(first) > 3 * 2  # some pastes were asked for again
    assert len({*first, *second}) == len(first) + len(second)


def test_distractors_hide_but_have_no_label(plain: Recipe, tmp_path: Path) -> None:
    settings = GenerateSettings(
        count=20, objects=(1, 1), distractors=(2, 2), distractor_classes=("Kästchen",), max_overlap=0.9, min_visible=0
    )
    result = generate(plain, settings, tmp_path / "out", workers=0)
    assert set(result["per_class"]) == {"ball"}
    rows = pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()
    assert sum(row["role"] == "distractor" for row in rows) == 40
    assert min(item["visible_fraction"] for item in annotations(tmp_path / "out")["annotations"]) < 0.9


def test_one_scene_in_all_blends_has_one_truth(plain: Recipe, tmp_path: Path) -> None:
    blends = ("alpha", "gaussian", "box", "motion", "none", "poisson")
    settings = GenerateSettings(count=15, blends=blends, all_blends=True, objects=(2, 2))
    generate(plain, settings, tmp_path / "out", workers=0)
    data = annotations(tmp_path / "out")
    assert [image["blend"] for image in data["images"]] == [*blends, *blends, *blends[:3]]
    by_image = {}
    for item in data["annotations"]:
        known = {key: item[key] for key in ("bbox", "segmentation", "visible_fraction")}
        by_image.setdefault(item["image_id"], []).append(known)
    assert all(by_image[k] == by_image[0] for k in range(6))
    assert by_image[6] != by_image[0]


def test_a_size_of_their_own(plain: Recipe, tmp_path: Path) -> None:
    generate(plain, GenerateSettings(count=3, side_px=60), tmp_path / "out", workers=0)
    assert {(image["width"], image["height"]) for image in annotations(tmp_path / "out")["images"]} == {(80, 60)}
    assert cv2.imread(str(tmp_path / "out" / "images" / "00000000.jpg")).shape == (60, 80, 3)


def test_a_backgrounds_small_objects_are_there_in_smaller_images(world: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    cv2.imwrite(str(tmp_path / "back" / "a.png"), np.full((400, 400, 3), 90, np.uint8))
    boxes = [50, 50, 3, 3], [201, 100, 2, 200], [300, 300, 1, 1], [320, 20, 40, 40]
    told = {
        "images": [{"id": 1, "file_name": "a.png", "width": 400, "height": 400}],
        "annotations": [
            {
                "id": number,
                "image_id": 1,
                "category_id": 5,
                "bbox": [x, y, w, h],
                "area": w * h,
                "iscrowd": 0,
                "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]],
            }
            for number, (x, y, w, h) in enumerate(boxes, 1)
        ],
        "categories": [{"id": 5, "name": "ball"}],
    }
    (tmp_path / "back.json").write_text(json.dumps(told), "utf-8")
    recipe = recipe_of(world, f"backgrounds.coco={tmp_path / 'back.json'}", f"backgrounds.images={tmp_path / 'back'}")
    for side_px, wanted in (
        (100, [[12, 12, 2, 2], [50, 25, 1, 50], [75, 75, 1, 1], [80, 5, 10, 10]]),
        (20, [[2, 2, 1, 1], [10, 5, 1, 10], [15, 15, 1, 1], [16, 1, 2, 2]]),
    ):
        settings = GenerateSettings(count=1, objects=(0, 0), side_px=side_px)
        generate(recipe, settings, tmp_path / str(side_px), workers=0)
        own = annotations(tmp_path / str(side_px))["annotations"]
        assert [item["bbox"] for item in own] == wanted


def test_the_manifest_says_what_it_was_made_from(labelled: Recipe, tmp_path: Path) -> None:
    generate(labelled, SMALL, tmp_path / "out", workers=0)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert manifest["sources"]["backgrounds"]["licences"] == {"CC BY 4.0": 3, "CC0": 2}
    assert manifest["about"]["settings"]["seed"] == 0
    assert manifest["made_by"]["terse-synth"]
    import hashlib

    digest = hashlib.sha256((tmp_path / "out" / "annotations.json").read_bytes()).hexdigest()
    assert manifest["sha256"]["annotations.json"] == digest
    for line in (tmp_path / "out" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == digest
    licences = {row["background_licence"] for row in pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()}
    assert licences == {"CC BY 4.0", "CC0"}


def test_a_folder_in_use_is_refused(plain: Recipe, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(RunError) as error:
        generate(plain, SMALL, tmp_path, workers=0)
    assert str(error.value) == (
        f"{tmp_path}: expected a new or empty folder, got one with files in it; give `out` another"
    )
    with pytest.raises(RunError) as error:
        generate(plain, SMALL, tmp_path, workers=0, resume=True)
    assert str(error.value) == (f"{tmp_path}: expected a set to go on with, got none; leave `resume` out to begin one")
    with pytest.raises(RunError) as error:
        generate(plain, SMALL, tmp_path / "mine.txt" / "out", workers=0)
    assert str(error.value) == (
        f"{tmp_path / 'mine.txt' / 'out'}: expected a folder that can be written, got: Not a directory"
    )


def test_a_full_disk_is_named_and_the_set_goes_on_later(
    plain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shards.draw_samples

    def full(scene, images):
        for k, sample in enumerate(whole(scene, images)):
            if k == 3 and images.number[0] >= 6:
                raise OSError(28, "No space left on device")
            yield sample

    monkeypatch.setattr(shards, "draw_samples", full)
    with pytest.raises(RunError) as error:
        generate(plain, SMALL, tmp_path / "out", workers=0)
    assert str(error.value) == (
        f"{tmp_path / 'out'}: expected room to write shard 1, got: No space left on device; then `resume`"
    )
    monkeypatch.setattr(shards, "draw_samples", whole)
    generate(plain, SMALL, tmp_path / "out", workers=0, resume=True)
    generate(plain, SMALL, tmp_path / "whole", workers=0)
    assert files_of(tmp_path / "out") == files_of(tmp_path / "whole")


def test_a_source_gone_under_way_is_named(world: Path, tmp_path: Path) -> None:
    (tmp_path / "back").mkdir()
    for path in sorted((world / "back" / "images").iterdir())[:2]:
        (tmp_path / "back" / path.name).write_bytes(path.read_bytes())
    recipe = recipe_of(world, f"backgrounds.images={tmp_path / 'back'}")
    generate(recipe, SMALL, tmp_path / "out", workers=0)
    gone = tmp_path / "back" / "000.jpg"
    import hashlib

    digest = hashlib.sha256(gone.read_bytes()).hexdigest()
    kept = gone.read_bytes()
    gone.unlink()
    with pytest.raises(DataError) as error:
        render(tmp_path / "out" / "placements.parquet", tmp_path / "again", workers=0)
    assert str(error.value) == (
        f"placements.parquet: expected the source back:000.jpg (sha256 {digest}) as when the placements were made, "
        "got none of that name; restore the file or drop these rows"
    )
    gone.write_bytes((tmp_path / "back" / "001.jpg").read_bytes())
    other = hashlib.sha256(gone.read_bytes()).hexdigest()
    with pytest.raises(DataError) as error:
        render(tmp_path / "out" / "placements.parquet", tmp_path / "changed", workers=0)
    assert str(error.value) == (
        f"placements.parquet: expected the source back:000.jpg with sha256 {digest} as when the placements were made, "
        f"got {other}; restore the file, or empty the column to draw it as it is now"
    )
    gone.write_bytes(kept)
    render(tmp_path / "out" / "placements.parquet", tmp_path / "restored", workers=0)


def test_a_backgrounds_own_objects_do_not_hide_each_other(world: Path, labelled: Recipe, tmp_path: Path) -> None:
    generate(labelled, GenerateSettings(count=10, objects=(0, 0), image="png"), tmp_path / "out", workers=0)
    data = annotations(tmp_path / "out")
    assert len(data["annotations"]) == 20
    assert {item["visible_fraction"] for item in data["annotations"]} == {1.0}


def test_an_artefact_patch_is_drawn_in_another_backgrounds_colours(tmp_path: Path) -> None:
    """As a pool's placements hold them: edited in here."""
    (tmp_path / "cuts" / "square").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "cuts" / "square" / "a.png"), np.full((50, 50, 4), 255, np.uint8))
    (tmp_path / "back").mkdir()
    for name, grey in (("a", 40), ("b", 220)):
        cv2.imwrite(str(tmp_path / "back" / f"{name}.png"), np.full((80, 80, 3), grey, np.uint8))
    generate(recipe_of_folders(tmp_path), GenerateSettings(count=2, image="png"), tmp_path / "out", workers=0)
    rows = pq.read_table(tmp_path / "out" / "placements.parquet").to_pylist()
    for row in rows:
        row["role"], row["background"], row["texture"] = "artefact", "back:a.png", "back:b.png"
        row["background_sha256"] = None
    edited = tmp_path / "out" / "edited.parquet"
    pq.write_table(pa.Table.from_pylist(rows), edited)
    render(edited, tmp_path / "again", workers=0)
    assert annotations(tmp_path / "again")["annotations"] == []
    pixels = cv2.imread(str(tmp_path / "again" / "images" / "00000000.png"))
    assert {40, 220} <= set(np.unique(pixels).tolist())
    assert pixels.max() == 220


def test_what_a_set_cannot_be_made_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as told:
        generate("shapes", GenerateSettings(count=1), tmp_path / "set")  # type: ignore[arg-type]
    assert str(told.value) == "origin: expected load_recipe(...) or of_run(...), got 'shapes'"
    with pytest.raises(RecipeError) as told:
        render(tmp_path / "placements.parquet", tmp_path / "set", count=5)
    assert str(told.value) == "count: expected none, got 5; the rows of the placements say what is drawn"
    assert not (tmp_path / "set").exists()
