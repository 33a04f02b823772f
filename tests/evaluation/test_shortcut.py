"""A blatant halo is found, a perfect paste is not, and decoys with the same halo hide it again."""

import pytest
import torch
from torch.nn import functional

from terse.errors import DataError, ShapeError
from terse.evaluation.shortcut import ProbedComposites, shortcut_auc, shortcut_audit

STEPS = 60


def textures(count: int, channels: int, size: int, generator: torch.Generator) -> torch.Tensor:
    coarse = torch.rand(count, channels, 8, 8, generator=generator)
    smooth = functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)
    return 0.2 + 0.6 * smooth + 0.05 * torch.randn(count, channels, size, size, generator=generator)


def discs(count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    cy, cx = torch.rand(2, count, generator=generator) * (size - 40) + 20
    radius = torch.rand(count, generator=generator) * 8 + 10
    return (y - cy[:, None, None]) ** 2 + (x - cx[:, None, None]) ** 2 < (radius**2)[:, None, None]


def scene(*, halo: float, decoys: bool = False, count: int = 40, channels: int = 3, seed: int = 0) -> ProbedComposites:
    """Discs whose rim is darkened and whose inside is the image itself: without halo nothing is there to find."""
    size = 72
    generator = torch.Generator().manual_seed(seed)
    images = textures(count, channels, size, generator)
    masks = discs(count, size, generator)
    patches = discs(count, size, generator) & ~masks if decoys else None
    for mask in (masks, patches):
        if mask is not None:
            rim = mask & (functional.max_pool2d((~mask)[:, None].float(), 3, 1, 1)[:, 0] > 0)
            images = torch.where(rim[:, None], images * (1 - halo), images)
    return ProbedComposites(images.clamp(0, 1), masks, patches)


def test_a_blatant_halo_is_found() -> None:
    assert shortcut_auc(scene(halo=0.8), steps=STEPS) > 0.99


def test_a_perfect_paste_is_not_found() -> None:
    assert shortcut_auc(scene(halo=0.0), steps=STEPS) == pytest.approx(0.5, abs=0.07)


def test_decoys_with_the_same_halo_hide_it() -> None:
    assert shortcut_auc(scene(halo=0.8, decoys=True), steps=STEPS) == pytest.approx(0.5, abs=0.12)


def test_the_audit_warns_of_the_one_that_is_too_easy() -> None:
    audit = shortcut_audit(
        {"none": scene(halo=0.8, channels=1), "alpha": scene(halo=0.0, channels=1)}, steps=STEPS, threshold=0.8
    )
    assert audit.auc["none"] > 0.95
    assert audit.auc["alpha"] < 0.65
    assert audit.warnings == [
        (
            "none: a probe that sees only edges and noise finds pasted objects with an AUC of "
            f"{audit.auc['none']:.2f}, above 0.8; a model can learn the paste instead of the object: "
            "add artefact patches or mix the blends"
        ),
    ]
    assert audit.to_json() == {"auc": audit.auc, "threshold": 0.8, "warnings": list(audit.warnings)}


def test_the_seed_gives_the_number_again_and_nothing_outside_changes() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = shortcut_auc(scene(halo=0.1), steps=5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert shortcut_auc(scene(halo=0.1), steps=5, seed=3) == first
    assert shortcut_auc(scene(halo=0.1), steps=5, seed=4) != first


def test_a_group_is_on_one_side_only() -> None:
    """Each cut-out has a tint of its own; a probe that has met it knows it again, one that has not does not."""
    pasted = scene(halo=0.0)
    generator = torch.Generator().manual_seed(9)
    pattern = torch.randn(4, 3, 72, 72, generator=generator).repeat_interleave(10, dim=0)
    tint = torch.where(pasted.masks[:, None], 0.1 * pattern, torch.zeros(()))
    images = (pasted.images + tint).clamp(0, 1)
    groups = torch.arange(4).repeat_interleave(10)
    assert 0 <= shortcut_auc(ProbedComposites(images, pasted.masks, None, groups), steps=3) <= 1
    with pytest.raises(DataError) as caught:
        shortcut_auc(ProbedComposites(images, pasted.masks, None, torch.arange(40) % 3))
    assert str(caught.value) == (
        "images: expected composites of at least 4 groups, to hold some out, got 3; give more images"
    )


def test_what_does_not_fit() -> None:
    pasted = scene(halo=0.0, count=6)
    cases = {
        "masks: expected the shape (6, 72, 72), got (5, 72, 72)": ProbedComposites(pasted.images, pasted.masks[:5]),
        "decoys: expected the shape (6, 72, 72), got (6, 72, 71)": ProbedComposites(
            pasted.images, pasted.masks, pasted.masks[..., :71]
        ),
        "groups: expected one number an image, 6, got the shape (2,)": ProbedComposites(
            pasted.images, pasted.masks, None, torch.arange(2)
        ),
        "images: expected sides of at least 30 px, got 20x20; give larger ones": ProbedComposites(
            pasted.images[..., :20, :20], pasted.masks[:, :20, :20]
        ),
    }
    for message, broken in cases.items():
        with pytest.raises(ShapeError) as caught:
            shortcut_auc(broken)
        assert str(caught.value) == message


def test_masks_without_a_pixel() -> None:
    pasted = scene(halo=0.0, count=6)
    with pytest.raises(DataError) as caught:
        shortcut_auc(ProbedComposites(pasted.images, torch.zeros_like(pasted.masks)))
    assert str(caught.value) == ("masks: expected some pixels on both sides of the split, got none; give more images")
