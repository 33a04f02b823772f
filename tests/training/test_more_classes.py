"""A target of more classes than are pasted: it learns all labels, and the pool is of what has foregrounds."""

import numpy as np

from drawn_photographs import Drawn
from terse.recipe import load_recipe
from terse.run import open_session, train

NAMES = [{"id": 3, "name": "ball"}, {"id": 7, "name": "cup"}]


def test_composites_of_one_class_for_a_detector_of_two(tmp_path):
    file = Drawn(tmp_path).coco(count=12, category=NAMES)
    source = f"coco: {file}, images: {tmp_path / 'train-images'}"
    overrides = [
        f"foregrounds={{{source}, classes: [cup]}}", f"backgrounds={{images: {Drawn(tmp_path).backgrounds()}}}",
        f"train={{{source}}}", "val=0.25", "classes=[ball, cup, tin]", "judged=[cup]", "canvas_px=96",
        "target={kind: ssdlite_mobilenet_v2, image_size_px: 96}", "synthesis={kind: random}", "cycles=1",
        "pool.per_cycle=6", "pool.candidates=60", "fine_tune.epochs=1", "fine_tune.batch_size=4", "cleanup=false",
        "fine_tune.augment=ssd", "poses={scale: [0.3, 0.5], min_visible: 1}", "runtime={workers: 0}",
    ]  # fmt: skip
    recipe = load_recipe("detector", overrides)
    result = train(recipe)
    assert result["cycles"][0]["samples"] == 6  # a third of it before quotas left out what is not pasted
    counted = {name: one["objects"] for name, one in result["metrics"]["end"]["by_class"].items()}
    assert (counted["ball"], counted["tin"]) == (0, 0)
    assert counted["cup"] > 0
    players = open_session(recipe, None).players
    labels = players.train.fetch(np.arange(len(players.train)))[1].labels
    assert set(labels.tolist()) == {0, 1}
    assert set(players.materials.foregrounds.labels.tolist()) == {1}
