"""Placements to pixels with labels, and these to encoded samples, by the raster path."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
from terse.recipe import EdgeConfig
from terse.sources.material import Material

_Points = Float32[np.ndarray, "k 3"]

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

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    for image, (canvas, objects) in enumerate(draw_images(drawing, placements)):
        background, hardness = int(placements.background[image]), float(placements.hardness[image])
        yield Sample(
            int(placements.number[image]),
            encode(canvas, drawing.settings),
            placements.canvas_px(image),
            objects,
            drawing.material.backgrounds.keys[background],
            drawing.material.backgrounds.licence(background),
            placements.blend[image],
            {} if math.isnan(hardness) else {"hardness": round(hardness, 5)},
        )


def draw_images(
    drawing: Drawing, placements: Placements
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], tuple[Labelled, ...]]]:
    """BGR pixels and labels of each image.

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    posed, offsets = drawing.posed(placements), placements.offsets
    for image in range(len(placements)):
        yield _draw(drawing, placements, image, posed[offsets[image] : offsets[image + 1]])


def _draw(
    drawing: Drawing, placements: Placements, image: int, posed: Sequence[RasterPose]
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[Labelled, ...]]:
    material = drawing.material
    background, size_px = int(placements.background[image]), placements.canvas_px(image)
    canvas = material.image(background, size_px)
    blend, seed, first = placements.blend[image], int(placements.seed[image]), int(placements.offsets[image])
    rows = range(first, first + len(posed))
    regions: list[Drawn] = []
    for z, row in enumerate(rows):
        cut = int(placements.foreground[row])
        texture = int(placements.texture[row])
        sprite = material.sprite(cut) if texture < 0 else material.textured(cut, texture)
        regions.append(draw(canvas, sprite, posed[z], edges=drawing.edges, blend=blend, seed=seed + z, bgr=True))
    if drawing.poses.image is not None and placements.image_pose.shape[1]:
        finish(canvas, drawing.poses.image, placements.image_pose[image], seed, bgr=True)
    own = _own(drawing, background, size_px, regions)
    points = [
        _moved(material.keypoints(int(placements.foreground[row])), posed[z], size_px) for z, row in enumerate(rows)
    ]
    return canvas, (*own, *_pasted(drawing, placements, rows, regions, points))


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
    regions: Sequence[Drawn],
    points: Sequence[_Points | None],
) -> Iterator[Labelled]:
    material = drawing.material
    for z, (row, amodal, modal) in enumerate(zip(rows, regions, visible_regions(regions), strict=True)):
        if placements.role[row] == Role.OBJECT and modal.mask.size:
            cut, size_px = int(placements.foreground[row]), placements.canvas_px(int(placements.image_index[row]))
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
