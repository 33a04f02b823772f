"""Placements to pixels with labels, and these to encoded samples, by the raster path."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from terse.compositing.occlusion import covered, visible_regions
from terse.compositing.raster import Drawn, draw, place_px
from terse.compositing.raster_stages import finish
from terse.errors import DataError
from terse.export.sample import Labelled, Sample
from terse.generate.settings import GenerateSettings
from terse.placements import Placements, Role
from terse.poses import PoseFamily, RasterPose
from terse.recipe_parts import EdgeConfig
from terse.sources.material import Material

_Points = Float32[np.ndarray, "k 3"]

_TOGETHER_BYTES = 1 << 23

__all__ = ["Drawing", "draw_images", "draw_samples", "encode"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is the same for every image of a set; it can be pickled."""

    material: Material
    poses: PoseFamily
    edges: EdgeConfig | None
    settings: GenerateSettings
    in_torch: bool = False  # how sets were drawn before `raster` did without; angles differ in the last digit

    def canvas_px(self, background: int) -> tuple[int, int]:
        """Width and height that a background's composites have."""
        return self.asked_px(self.material.backgrounds.size_px(background))

    def asked_px(self, size_px: tuple[int, int]) -> tuple[int, int]:
        """The size with the shorter side that was asked for, if one was."""
        width, height = size_px
        side = self.settings.side_px
        if side is None:
            return width, height
        scale = side / min(width, height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def posed(self, placements: Placements) -> list[RasterPose]:
        """The pose of each paste on its image's canvas, ready to be drawn."""
        if not len(placements.foreground):
            return []
        index = placements.image_index
        hull = np.stack([self.material.hull(i) for i in placements.foreground.tolist()])
        sizes_px = placements.size_px[index, ::-1] if not self.material.square else np.ones((len(index), 2), int)
        z = np.arange(len(index)) - placements.offsets[index]
        sizes = [(height, width) for height, width in sizes_px.tolist()]
        seeds = (placements.seed[index] + z).tolist()
        if self.in_torch:
            return PoseFamily.raster(self.poses, placements.pose, hull, sizes, seeds)
        return self.poses.raster(placements.pose, hull, sizes, seeds)


def draw_samples(drawing: Drawing, placements: Placements) -> Iterator[Sample]:
    """The images with what is true of them, encoded.

    Some at a time go through one step after the other, decoding, drawing, encoding: each finds its code and tables in the
    processor's cache, a tenth of the time of a composite of 640x480.

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    scenes = _scenes(drawing, placements)
    for some in _together(placements):
        canvases = [scenes[image].canvas() for image in some]
        objects = [scenes[image].draw(canvas) for image, canvas in zip(some, canvases, strict=True)]
        done = zip(some, canvases, objects, strict=True)
        yield from [_sample(drawing, placements, image, canvas, own) for image, canvas, own in done]


def draw_images(
    drawing: Drawing, placements: Placements
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], tuple[Labelled, ...]]]:
    """BGR pixels and labels of each image.

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    for scene in _scenes(drawing, placements):
        canvas = scene.canvas()
        yield canvas, scene.draw(canvas)


def _together(placements: Placements) -> Iterator[range]:
    """The images in runs whose canvases take so many bytes together, each of at least one."""
    first = taken = 0
    for image, pixels in enumerate((placements.size_px[:, 0] * placements.size_px[:, 1]).tolist()):
        if image > first and taken + 3 * pixels > _TOGETHER_BYTES:
            yield range(first, image)
            first, taken = image, 0
        taken += 3 * pixels
    if first < len(placements):
        yield range(first, len(placements))


def _sample(
    drawing: Drawing,
    placements: Placements,
    image: int,
    canvas: UInt8[np.ndarray, "h w 3"],
    objects: Sequence[Labelled],
) -> Sample:
    background, hardness = int(placements.background[image]), float(placements.hardness[image])
    return Sample(
        int(placements.number[image]),
        encode(canvas, drawing.settings),
        placements.canvas_px(image),
        objects,
        drawing.material.backgrounds.keys[background],
        drawing.material.backgrounds.licence(background),
        placements.blend[image],
        {} if math.isnan(hardness) else {"hardness": round(hardness, 5)},
    )


def _scenes(drawing: Drawing, placements: Placements) -> list[_Scene]:
    posed, offsets = drawing.posed(placements), placements.offsets.tolist()
    pastes = pairwise(offsets)
    return [_Scene(drawing, placements, i, range(*rows), posed[slice(*rows)]) for i, rows in enumerate(pastes)]


@dataclass(frozen=True, slots=True)
class _Scene:
    """One image to be drawn: its pastes' rows, and their poses."""

    drawing: Drawing
    placements: Placements
    image: int
    rows: range
    posed: Sequence[RasterPose]

    def canvas(self) -> UInt8[np.ndarray, "h w 3"]:
        """The background's pixels, its own to draw into."""
        background = int(self.placements.background[self.image])
        return self.drawing.material.image(background, self.placements.canvas_px(self.image))

    def draw(self, canvas: UInt8[np.ndarray, "h w 3"]) -> tuple[Labelled, ...]:
        """Paste what there is to paste, in place; what is then to be seen."""
        drawing, placements, material = self.drawing, self.placements, self.drawing.material
        background, size_px = int(placements.background[self.image]), placements.canvas_px(self.image)
        blend, seed = placements.blend[self.image], int(placements.seed[self.image])
        cuts = placements.foreground[self.rows.start : self.rows.stop].tolist()
        textures = placements.texture[self.rows.start : self.rows.stop].tolist()
        regions: list[Drawn] = []
        for z, (cut, texture, where) in enumerate(zip(cuts, textures, self.posed, strict=True)):
            sprite = material.sprite(cut) if texture < 0 else material.textured(cut, texture)
            grey = material.foregrounds.grey if texture < 0 else material.backgrounds.grey
            drawn = draw(canvas, sprite, where, edges=drawing.edges, blend=blend, seed=seed + z, bgr=True, grey=grey)
            regions.append(drawn)
        if drawing.poses.image is not None and placements.image_pose.shape[1]:
            pose, grey = placements.image_pose[self.image], material.backgrounds.grey
            finish(canvas, drawing.poses.image, pose, seed, bgr=True, grey=grey)
        own = _own(drawing, background, size_px, regions)
        posed = zip(cuts, self.posed, strict=True)
        points = [_moved(material.keypoints(cut), where, size_px) for cut, where in posed]
        return (*own, *_pasted(drawing, placements, self.rows, size_px, regions, points))


def _own(drawing: Drawing, background: int, size_px: tuple[int, int], regions: Sequence[Drawn]) -> Iterator[Labelled]:
    """What is left to see of the background's own objects."""
    for item in drawing.material.objects(background, size_px):
        # What came with the image hides nothing of it: masks overlap there as their makers drew them.
        modal = covered(item.region, regions)
        if modal.mask.size:
            fraction = _fraction(modal, item.region)
            yield Labelled(
                item.label,
                modal.box_px if item.masked or modal is not item.region else item.box_px,
                modal=modal if item.masked else None,
                amodal=item.region if item.masked else None,
                visible_fraction=fraction,
                z=-1,
                pasted=False,
                ignore=item.ignore or fraction < drawing.settings.min_visible,
                crowd=item.crowd,
                source=item.key,
                keypoints=item.keypoints if item.keypoints is None else _seen(item.keypoints, size_px, regions),
            )


def _pasted(
    drawing: Drawing,
    placements: Placements,
    rows: Sequence[int],
    size_px: tuple[int, int],
    regions: Sequence[Drawn],
    points: Sequence[_Points | None],
) -> Iterator[Labelled]:
    material = drawing.material
    for z, (row, amodal, modal) in enumerate(zip(rows, regions, visible_regions(regions), strict=True)):
        if placements.role[row] == Role.OBJECT and modal.mask.size:
            cut = int(placements.foreground[row])
            fraction = _fraction(modal, amodal)
            yield Labelled(
                material.label_of(cut),
                modal.box_px,
                modal=modal,
                amodal=amodal,
                visible_fraction=fraction,
                z=z,
                pasted=True,
                ignore=fraction < drawing.settings.min_visible,
                source=material.foregrounds.keys[cut],
                keypoints=None if (own := points[z]) is None else _seen(own, size_px, regions[z + 1 :]),
            )


def _moved(points: _Points | None, posed: RasterPose, size_px: tuple[int, int]) -> _Points | None:
    """Keypoints of a patch as the pose puts them on the canvas, in pixels."""
    if points is None:
        return None
    return np.concatenate([place_px(points[:, :2], posed, size_px[::-1]), points[:, 2:]], axis=1, dtype=np.float32)


def _seen(points: _Points, size_px: tuple[int, int], above: Sequence[Drawn]) -> _Points:
    """Keypoints with what lies above them: those outside the canvas are not annotated, those covered are hidden."""
    found = points.copy()
    outside = ((points[:, :2] < 0) | (points[:, :2] >= size_px)).any(axis=1) | (points[:, 2] == 0)
    found[outside] = 0
    for k in np.flatnonzero(~outside):
        x, y = np.floor(points[k, :2]).astype(int).tolist()
        for region in above:
            row, column = y - region.top, x - region.left
            if 0 <= row < region.mask.shape[0] and 0 <= column < region.mask.shape[1] and region.mask[row, column]:
                found[k, 2] = 1
    return found


def encode(image: np.ndarray, settings: GenerateSettings) -> bytes:
    """The file's bytes, from BGR: the same for the same pixels and build."""
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, settings.quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 3],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, settings.quality],
    }[settings.image]
    done, data = cv2.imencode(settings.suffix, image, options)
    if not done:
        height, width = image.shape[:2]
        raise DataError(f"image: expected a {width}x{height} picture that {settings.image} can hold; choose png")
    return data.tobytes()


def _fraction(modal: Drawn, amodal: Drawn) -> float:
    return min(1.0, modal.seen_px / max(1, amodal.whole_px))
