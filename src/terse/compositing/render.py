"""Placements to composites: what the players see, and what replay draws again bit for bit."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from terse.compositing.artefacts import textured
from terse.compositing.compose import compose
from terse.compositing.raster import Sprite, draw
from terse.compositing.truth import Layer, truth_of_layers
from terse.placements import Placements, Role
from terse.poses import PoseFamily
from terse.poses.posed import Posed
from terse.protocols import BackgroundBank, ForegroundBank
from terse.recipe_parts import EdgeConfig
from terse.types import Backgrounds, Composites, Foregrounds

__all__ = ["Renderer"]


class Renderer:
    """Draws placements with one pair of banks, one pose family and one treatment of edges.

    `fields` names the optional fields of the truth that the task learns from: `masks`, `keypoints`.

    Source: paper 3.1; several pastes an image are ours.
    """

    def __init__(
        self,
        foregrounds: ForegroundBank,
        backgrounds: BackgroundBank,
        poses: PoseFamily,
        edges: EdgeConfig | None,
        *,
        min_visible: float = 0.0,
        fields: Sequence[str] = (),
        device: torch.device | str = "cpu",
    ) -> None:
        self.foregrounds = foregrounds
        self.backgrounds = backgrounds
        self.poses = poses
        self.min_visible = min_visible
        self.fields = tuple(fields)
        self.device = device
        self.edges = edges

    def __call__(self, placements: Placements, *, masks: bool = False) -> Composites:
        """Draw every placement, lowest paste first; `alpha` in torch, the other blends by the raster path.

        Raises:
            DataError: no such blend.
        """
        background = self.backgrounds.fetch(placements.background).to(self.device)
        images, layers = self.layers(background, placements)
        seen = truth_of_layers(background, layers, self.min_visible, self.fields)
        return Composites(
            images, seen.truth, seen.fraction, seen.modal if masks else None, seen.amodal if masks else None
        )

    def layers(
        self,
        background: Backgrounds,
        placements: Placements,
        pose: Float[Tensor, "n joint"] | None = None,
        cut: Foregrounds | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], list[Layer]]:
        """The pixels of placements and what covers what, differentiable in the poses.

        Args:
            background: the placements' own.
            placements: what to draw.
            pose: joint poses of every paste, with a gradient; None takes the placements'.
            cut: every paste's foreground; None fetches them, one layer at a time.

        Raises:
            DataError: no such blend.
        """
        images, layers = background.images, []
        cuts: list[Foregrounds] = []
        for number, rows in enumerate(placements.layers):
            every = len(rows) == len(placements)
            where = None if every else torch.from_numpy(placements.image_index[rows]).to(self.device)
            own = self.foregrounds.fetch(placements.foreground[rows]).to(self.device) if cut is None else cut.take(rows)
            role = placements.role[rows]
            if (placements.texture[rows] >= 0).any():
                own = self._textured(own, placements, rows)
            below = images if where is None else images[where]
            posed = torch.from_numpy(placements.pose[rows]).float().to(self.device) if pose is None else pose[rows]
            posed = posed[:, : self.poses.size]
            seeds = torch.from_numpy(placements.seed[placements.image_index[rows]] + number).to(self.device)
            pasted, layer = self.paste(below, own, posed, seeds)
            cuts.append(own)
            images = pasted if where is None else images.index_copy(0, where, pasted)
            layers += _by_role(layer, where, role)
        if set(placements.blend) - {"alpha"}:
            images = self._reblended(images, background.images, cuts, placements)
        image_pose = torch.from_numpy(placements.image_pose).float().to(self.device)
        if pose is not None and self.poses.image is not None:
            lowest = placements.layers[0]
            images_of = torch.from_numpy(placements.image_index[lowest]).to(self.device)
            image_pose = image_pose.index_copy(0, images_of, pose[lowest][:, self.poses.size :])
        images = self.finish(images, image_pose, torch.from_numpy(placements.seed).to(self.device))
        return images, layers

    def paste(
        self,
        images: Float[Tensor, "b c h w"],
        cut: Foregrounds,
        pose: Float[Tensor, "b k"],
        seeds: Int64[Tensor, " b"] | None = None,
    ) -> tuple[Float[Tensor, "b c h w"], Layer]:
        """One paste in every image, differentiable in the pose: the synthesizer's step goes through here too."""
        size_px = (images.shape[-2], images.shape[-1])
        posed = self.poses.apply(cut, pose, size_px, seeds)
        cut, edges = posed.cut, self.edges
        pasted = compose(
            images,
            cut.images.expand(-1, images.shape[1], -1, -1),
            cut.alpha,
            posed.where,
            binarise=edges is not None and edges.binarise,
            blur_sigma_px=0.0 if edges is None else edges.blur_sigma_px,
            shade=partial(self.poses.shade, pose=pose) if self.poses.has("shade") else None,
        )
        patch_px = (cut.alpha > 0.5).sum(dim=(1, 2, 3)) / (cut.alpha.shape[-1] * cut.alpha.shape[-2])
        whole = patch_px * size_px[0] * size_px[1] / posed.where.shrink().detach().clamp(min=1e-9)
        points = self._points(cut, posed, size_px) if "keypoints" in self.fields else None
        return pasted.images, Layer(None, cut.labels, pasted.alpha, whole, keypoints=points)

    def finish(
        self, images: Float[Tensor, "b c h w"], image_pose: Float[Tensor, "b j"], seeds: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """What the recipe does to whole pictures, differentiable in their poses; nothing where these have no numbers."""
        family = self.poses.image
        return images if family is None or not image_pose.shape[1] else family.finish(images, image_pose, seeds)

    def truth(self, background: Backgrounds, layers: Sequence[Layer]) -> Composites:
        """The truth of differentiable pastes, lowest first; their images are not repeated here."""
        seen = truth_of_layers(background, layers, self.min_visible, self.fields)
        return Composites(background.images, seen.truth, seen.fraction)

    @torch.no_grad()
    def _points(self, cut: Foregrounds, posed: Posed, size_px: tuple[int, int]) -> Float[Tensor, "b k 3"] | None:
        """The keypoints where their poses put them; those outside the canvas are not annotated."""
        if cut.keypoints is None:
            return None
        height, width = size_px
        places = (posed.where.inverse(cut.keypoints[..., :2]) + 1) / 2 * cut.keypoints.new_tensor([width, height])
        outside = (places < 0).any(-1) | (places[..., 0] >= width) | (places[..., 1] >= height)
        found = torch.cat([places, cut.keypoints[..., 2:]], dim=-1)
        return torch.where((outside | (cut.keypoints[..., 2] == 0))[..., None], 0.0, found)

    def _reblended(
        self,
        images: Float[Tensor, "b c h w"],
        backgrounds: Float[Tensor, "b c h w"],
        cuts: Sequence[Foregrounds],
        placements: Placements,
    ) -> Float[Tensor, "b c h w"]:
        """The images with those of other blends than `alpha` drawn anew by the raster path; the truth stays.

        Args:
            images: all drawn with `alpha`.
            backgrounds: what they were drawn on.
            cuts: the cut-outs of each of the placements' layers.
            placements: what was drawn.
        """
        canvases = {i: _bytes(backgrounds[i]) for i, blend in enumerate(placements.blend) if blend != "alpha"}
        for z, (rows, cut) in enumerate(zip(placements.layers, cuts, strict=True)):
            index = placements.image_index[rows]
            sizes_px = [(images.shape[-2], images.shape[-1])] * len(rows)
            seeds = (placements.seed[index] + z).tolist()
            poses = self.poses.raster(placements.pose[rows], cut.hull.cpu().numpy(), sizes_px, seeds)
            for row, image in enumerate(index.tolist()):
                if image not in canvases:
                    continue
                rgba = torch.cat([cut.images[row].expand(-1, *cut.alpha.shape[-2:]), cut.alpha[row]])
                blend, seed = placements.blend[image], int(placements.seed[image])
                sprite = Sprite.of(_bytes(rgba), None if cut.views is None else cut.views[row])
                grey = cut.images.shape[1] == 1
                draw(canvases[image], sprite, poses[row], edges=self.edges, blend=blend, seed=seed, grey=grey)
        out = images.clone()
        for i, canvas in canvases.items():
            drawn = torch.from_numpy(canvas).permute(2, 0, 1).to(images).div_(255)
            out[i] = drawn if images.shape[1] == 3 else drawn.mean(dim=0, keepdim=True)
        return out

    def _textured(self, cut: Foregrounds, placements: Placements, rows: np.ndarray) -> Foregrounds:
        """Artefact patches and their like: the shape stays, the colour comes from another background."""
        chosen = np.flatnonzero(placements.texture[rows] >= 0)
        size = cut.alpha.shape[-2:]
        where = torch.from_numpy(chosen).to(self.device)
        part = Foregrounds(cut.images[where], cut.alpha[where], cut.labels[where], cut.hull[where])
        below = self.backgrounds.fetch(placements.texture[rows][chosen]).images.to(self.device)
        colour = cut.images.expand(-1, below.shape[1], *size).index_copy(0, where, textured(part, below).images)
        patches = set(chosen.tolist())
        views = None if cut.views is None else tuple(None if k in patches else v for k, v in enumerate(cut.views))
        return replace(cut, images=colour, views=views)


def _by_role(layer: Layer, where: Tensor | None, role: Int64[np.ndarray, " m"]) -> list[Layer]:
    """The layer's objects, occluders and other pastes apart."""
    kinds = [int(Role.OBJECT), int(Role.OCCLUDER)]
    groups = [*(role == kind for kind in kinds), ~np.isin(role, kinds)]
    if groups[0].all():
        return [replace(layer, rows=where)]
    device = layer.labels.device
    rows = torch.arange(len(role), device=device) if where is None else where
    found = []
    for kind, group in enumerate(groups):
        if group.any():
            chosen = torch.from_numpy(np.flatnonzero(group)).to(device)
            parts = rows[chosen], layer.labels[chosen], layer.alpha[chosen], layer.whole_px[chosen]
            points = None if layer.keypoints is None else layer.keypoints[chosen]
            found.append(Layer(*parts, labelled=kind == 0, occludes=kind == 1, keypoints=points))
    return found


def _bytes(image: Float[Tensor, "c h w"]) -> UInt8[np.ndarray, "h w rgb_or_rgba"]:
    """Rounded to bytes, channels last; grey becomes RGB, and RGB with alpha stays four."""
    if len(image) <= 2:
        image = torch.cat([image[:1].expand(3, -1, -1), image[1:]])
    flat = image.detach().cpu().clamp(0, 1).mul(255).round().byte()
    return np.ascontiguousarray(flat.permute(1, 2, 0).numpy())
