"""What the probe is shown: the same objects in both conditions, patches where their masks say."""

import pytest
import torch

from terse.poses import AffinePoses
from terse.proof.audit import audit_pastes, composites_for_probe
from terse.recipe_parts import EdgeConfig
from terse.sources.shapes.config import ShapesConfig
from terse.synthesis.materials import Materials

EDGES = EdgeConfig(blur_sigma_px=0.0)


def context():
    data = ShapesConfig(train=24, val=2, test=2, backgrounds=8).build()
    poses = AffinePoses((-30.0, 30.0), (-1.0, 1.0), (0.0, 0.0), (0.2, 0.4), stretch=(0.9, 1.1), min_visible=0.8)
    return Materials(data.foregrounds, data.backgrounds, poses, EDGES, data.train, data.classes, 96, seed=0)


def test_patches_are_beside_the_objects_and_change_nothing_else():
    plain = composites_for_probe(context(), EDGES, "none", patches=False, scenes=20)
    patched = composites_for_probe(context(), EDGES, "none", patches=True, scenes=20)
    assert plain.decoys is None
    assert patched.decoys is not None
    assert torch.equal(plain.masks, patched.masks)
    assert plain.masks.flatten(1).any(dim=1).sum() > 15
    assert patched.decoys.flatten(1).any(dim=1).sum() > 10
    assert not (patched.decoys & patched.masks).any()
    elsewhere = ~patched.decoys[:, None]
    away = elsewhere & (torch.nn.functional.max_pool2d(patched.decoys[:, None].float(), 5, 1, 2) == 0)
    assert torch.equal(torch.where(away, plain.images, 0), torch.where(away, patched.images, 0))
    inside = patched.decoys[:, None].expand_as(plain.images)
    assert (plain.images - patched.images).abs()[inside].mean() > 0.05


def test_one_scene_in_all_blends():
    motion, none = (
        composites_for_probe(context(), EDGES, blend, patches=True, scenes=8) for blend in ("motion", "none")
    )
    assert torch.equal(motion.masks, none.masks)
    assert torch.equal(motion.groups, none.groups)
    assert not torch.equal(motion.images, none.images)


@pytest.mark.slow
def test_warnings_are_of_the_condition_that_is_trained_with():
    audits = [audit_pastes(context(), EDGES, blends=("none",), scenes=24, steps=25, patched=on) for on in (True, False)]
    assert list(audits[0].auc) == ["none", "none with patches"]
    assert audits[0].auc == audits[1].auc
    assert audits[0].auc["none"] > 0.8 > audits[0].auc["none with patches"]
    assert audits[0].warnings == []
    assert [warning.split(":")[0] for warning in audits[1].warnings] == ["none"]
