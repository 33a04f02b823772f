"""Could a model cheat? Composites of one scene in every blend, with artefact patches and without, for the probe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from terse.compositing.artefacts import draw_patches
from terse.evaluation.shortcut import ProbedComposites, shortcut_audit
from terse.placements import Placements, Role
from terse.recipe_parts import BLENDS, ArtefactConfig, EdgeConfig
from terse.results import Shortcut
from terse.synthesis.blind import BlindProposer
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import propose
from terse.types import Composites

__all__ = ["audit_pastes", "composites_for_probe"]

_SCENES = 60
_BATCH = 16


def audit_pastes(
    materials: Materials,
    edges: EdgeConfig | None,
    *,
    blends: Sequence[str] = BLENDS,
    scenes: int = _SCENES,
    steps: int = 60,
    seed: int = 0,
    patched: bool = True,
) -> Shortcut:
    """The probe's AUC for each blend, without artefact patches and with them.

    Without, rims of objects are told from plain background; with them, from rims of patches. Warnings are only of
    the condition that the recipe trains with.

    Args:
        materials: whose scenes are probed.
        edges: the recipe's.
        blends: which.
        scenes: composites a condition.
        steps: of each probe.
        seed: of scenes and probes.
        patched: does the recipe train with artefact patches?

    Source: ours; the blends are those of Dwibedi et al. 2017, the patches paper 3.1's.
    """
    sets: dict[str, ProbedComposites] = {}
    trained_with = []
    for blend in blends:
        for patches in (False, True):
            name = f"{blend} with patches" if patches else blend
            sets[name] = composites_for_probe(materials, edges, blend, patches=patches, scenes=scenes, seed=seed)
            trained_with += [name] if patches == patched else []
    return shortcut_audit(sets, steps=steps, seed=seed, warn_of=trained_with)


@torch.no_grad()
def composites_for_probe(
    materials: Materials, edges: EdgeConfig | None, blend: str, *, patches: bool, scenes: int = _SCENES, seed: int = 0
) -> ProbedComposites:
    """Blind composites in one blend, with the masks of their objects and of their patches.

    Source: ours.
    """
    generator = torch.Generator().manual_seed(seed)
    blind = BlindProposer(materials, _BATCH)
    parts = []
    for start in range(0, scenes, _BATCH):
        placements = propose(blind, min(_BATCH, scenes - start), seed, "probe", start)
        parts.append(_part(materials, edges, placements, blend, generator, patches=patches))
    images, masks, decoys, groups = (torch.cat(column) for column in zip(*parts, strict=True))
    return ProbedComposites(images, masks, decoys if patches else None, groups)


def _part(
    materials: Materials,
    edges: EdgeConfig | None,
    placements: Placements,
    blend: str,
    generator: torch.Generator,
    *,
    patches: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    drawn = materials.render(placements, masks=True)
    count, size_px = len(placements), (drawn.images.shape[-2], drawn.images.shape[-1])
    masks = _pasted_masks(drawn, count)
    decoys = torch.zeros_like(masks)
    scene = placements
    # Drawn whether they are pasted or not, so that both conditions see the same objects.
    found = draw_patches(
        drawn.truth,
        size_px,
        materials.foregrounds,
        materials.backgrounds,
        materials.poses,
        ArtefactConfig(count=1, probability=1.0),
        generator,
        edges=edges,
        own=placements.background,
    )
    if patches and len(found.foreground):
        scene = found.under(placements)
        rows = np.flatnonzero(scene.role == Role.ARTEFACT)
        role, texture = np.full(len(rows), int(Role.OBJECT), dtype=np.int64), np.full(len(rows), -1, dtype=np.int64)
        as_objects = replace(scene.keep(rows), role=role, texture=texture)
        decoys = _pasted_masks(materials.render(as_objects, masks=True), count) & ~masks
    images = materials.render(replace(scene, blend=(blend,) * len(scene))).images
    groups = torch.from_numpy(placements.foreground)
    return images.cpu(), masks, decoys, groups


def _pasted_masks(drawn: Composites, count: int) -> Tensor:
    """The masks of the pasted objects of each image, joined."""
    assert drawn.modal is not None
    pasted = drawn.truth.pasted
    joined = torch.zeros(count, *drawn.images.shape[-2:], dtype=torch.int32)
    joined.index_add_(0, drawn.truth.image_index[pasted].cpu(), drawn.modal[pasted].cpu().int())
    return joined > 0
