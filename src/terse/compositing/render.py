"""Placements to composites, in torch: what the players see, and what replay draws again bit for bit."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from terse.compositing.artefacts import textured
from terse.compositing.compose import compose
from terse.compositing.raster import Edges
from terse.compositing.reblend import reblend
from terse.compositing.truth import Layer, truth_of_layers
from terse.placements import Placements, Role
from terse.poses import AffinePoses
from terse.protocols import BackgroundBank, ForegroundBank
from terse.recipe import EdgeConfig
from terse.types import Backgrounds, Composites, Foregrounds

__all__ = ["Renderer"]


class Renderer:
    """Draws placements with one pair of banks, one pose family and one treatment of edges.

    Source: paper 3.1; several pastes an image are ours.
    """

    def __init__(
        self,
        foregrounds: ForegroundBank,
        backgrounds: BackgroundBank,
        poses: AffinePoses,
        edges: EdgeConfig | None,
        *,
        min_visible: float = 0.0,
        device: torch.device | str = "cpu",
    ) -> None:
        self.foregrounds = foregrounds
        self.backgrounds = backgrounds
        self.poses = poses
        self.min_visible = min_visible
        self.device = device
        self._binarise = edges is not None and edges.binarise
        self._blur_px = edges.blur_sigma_px if edges is not None else 0.0

    def __call__(self, placements: Placements, *, masks: bool = False) -> Composites:
        """Draw every placement, lowest paste first; `alpha` in torch, the other blends by the raster path.

        Raises:
            DataError: no such blend.
        """
        background = self.backgrounds.fetch(placements.background).to(self.device)
        images, layers = background.images, []
        cuts: list[Foregrounds] = []
        for rows in placements.layers:
            every = len(rows) == len(placements)
            where = None if every else torch.from_numpy(placements.image_index[rows]).to(self.device)
            cut = self.foregrounds.fetch(placements.foreground[rows]).to(self.device)
            role = placements.role[rows]
            if (role == Role.ARTEFACT).any():
                cut = self._textured(cut, placements, rows)
            below = images if where is None else images[where]
            pose = torch.from_numpy(placements.pose[rows]).float().to(self.device)
            pasted, layer = self.paste(below, cut, pose)
            cuts.append(cut)
            images = pasted if where is None else images.index_copy(0, where, pasted)
            layers += _by_role(layer, where, torch.from_numpy(role == Role.OBJECT).to(self.device))
        if set(placements.blend) - {"alpha"}:
            edges = Edges(self._binarise, self._blur_px) if self._binarise else None
            images = reblend(images, background.images, cuts, placements, self.poses, edges)
        seen = truth_of_layers(background, layers, self.min_visible)
        return Composites(
            images, seen.truth, seen.fraction, seen.modal if masks else None, seen.amodal if masks else None
        )

    def paste(
        self, images: Float[Tensor, "b c h w"], cut: Foregrounds, pose: Float[Tensor, "b k"]
    ) -> tuple[Float[Tensor, "b c h w"], Layer]:
        """One paste in every image, differentiable in the pose: the synthesizer's step goes through here too."""
        size_px = (images.shape[-2], images.shape[-1])
        matrix = self.poses.matrix(pose, cut.hull, size_px)
        colour = cut.images.expand(-1, images.shape[1], -1, -1)
        pasted = compose(images, colour, cut.alpha, matrix, binarise=self._binarise, blur_sigma_px=self._blur_px)
        flat = matrix.detach()
        shrink = (flat[:, 0, 0] * flat[:, 1, 1] - flat[:, 0, 1] * flat[:, 1, 0]).abs()
        patch_px = (cut.alpha > 0.5).sum(dim=(1, 2, 3)) / (cut.alpha.shape[-1] * cut.alpha.shape[-2])
        whole = patch_px * size_px[0] * size_px[1] / shrink.clamp(min=1e-9)
        return pasted.images, Layer(None, cut.labels, pasted.alpha.detach(), whole)

    def truth(self, background: Backgrounds, layer: Layer) -> Composites:
        """The truth of one differentiable paste; its images are not repeated here."""
        seen = truth_of_layers(background, [layer], self.min_visible)
        return Composites(background.images, seen.truth, seen.fraction)

    def _textured(self, cut: Foregrounds, placements: Placements, rows: np.ndarray) -> Foregrounds:
        """Artefact patches: the shape stays, the colour comes from another background."""
        chosen = np.flatnonzero(placements.role[rows] == Role.ARTEFACT)
        size = cut.alpha.shape[-2:]
        where = torch.from_numpy(chosen).to(self.device)
        part = Foregrounds(cut.images[where], cut.alpha[where], cut.labels[where], cut.hull[where])
        below = self.backgrounds.fetch(placements.texture[rows][chosen]).images.to(self.device)
        colour = cut.images.expand(-1, below.shape[1], *size).index_copy(0, where, textured(part, below).images)
        return Foregrounds(colour, cut.alpha, cut.labels, cut.hull)


def _by_role(layer: Layer, where: Tensor | None, labelled: Tensor) -> list[Layer]:
    if bool(labelled.all()):
        return [Layer(where, layer.labels, layer.alpha, layer.whole_px)]
    rows = torch.arange(len(labelled), device=labelled.device) if where is None else where
    return [
        Layer(rows[chosen], layer.labels[chosen], layer.alpha[chosen], layer.whole_px[chosen], flag)
        for flag, chosen in ((True, labelled), (False, ~labelled))
        if bool(chosen.any())
    ]
