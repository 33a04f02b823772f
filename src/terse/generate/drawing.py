"""Planned images to encoded samples with labels."""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from terse.compositing.occlusion import covered, visible_regions
from terse.compositing.raster import Drawn, draw
from terse.errors import DataError
from terse.export.sample import Labelled, Sample
from terse.generate.planned import Planned
from terse.generate.scene import Scene
from terse.generate.settings import GenerateSettings
from terse.placements import Role
from terse.poses import RasterPose

__all__ = ["draw_images", "draw_samples", "encode"]


def draw_samples(scene: Scene, images: Sequence[Planned]) -> Iterator[Sample]:
    """The images with what is true of them, encoded.

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    for image, (canvas, objects) in zip(images, draw_images(scene, images), strict=True):
        yield Sample(
            image.number,
            encode(canvas, scene.settings),
            image.size_px,
            objects,
            scene.material.background_keys[image.background],
            scene.material.background_licence(image.background),
            image.blend,
            {} if image.hardness is None else {"hardness": round(image.hardness, 5)},
        )


def draw_images(
    scene: Scene, images: Sequence[Planned]
) -> Iterator[tuple[UInt8[np.ndarray, "h w 3"], tuple[Labelled, ...]]]:
    """BGR pixels and labels of each image.

    Raises:
        DataError: a source that cannot be read, or a blend that is not known.
    """
    for image, posed in zip(images, scene.posed(images), strict=True):
        yield _draw(scene, image, posed)


def _draw(
    scene: Scene, image: Planned, posed: Sequence[RasterPose]
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[Labelled, ...]]:
    material = scene.material
    canvas = material.image(image.background, image.size_px)
    regions: list[Drawn] = []
    for z, (paste, where) in enumerate(zip(image.pastes, posed, strict=True)):
        artefact = paste.role is Role.ARTEFACT
        sprite = material.textured(paste.foreground, paste.texture) if artefact else material.sprite(paste.foreground)
        regions.append(
            draw(
                canvas,
                sprite,
                where,
                edges=scene.edges,
                blend=image.blend,
                seed=image.seed + z,
                bgr=True,
            )
        )
    own = _own(scene, image, regions)
    return canvas, (*own, *_pasted(scene, image, regions))


def _own(scene: Scene, image: Planned, regions: Sequence[Drawn]) -> Iterator[Labelled]:
    """What is left to see of the background's own objects."""
    for item in scene.material.objects(image.background, image.size_px):
        # What came with the image hides nothing of it: masks overlap there as their makers drew them.
        modal = covered(item.region, regions)
        if modal.mask.size:
            fraction = _fraction(modal, item.region)
            yield Labelled(
                item.label,
                _box(modal) if item.masked or modal is not item.region else item.box_px,
                modal=modal if item.masked else None,
                amodal=item.region if item.masked else None,
                visible_fraction=fraction,
                z=-1,
                pasted=False,
                ignore=item.ignore or fraction < scene.settings.min_visible,
                crowd=item.crowd,
                source=item.key,
            )


def _pasted(scene: Scene, image: Planned, regions: Sequence[Drawn]) -> Iterator[Labelled]:
    material = scene.material
    for z, (paste, amodal, modal) in enumerate(zip(image.pastes, regions, visible_regions(regions), strict=True)):
        if paste.role is Role.OBJECT and modal.mask.size:
            fraction = _fraction(modal, amodal)
            yield Labelled(
                int(material.foreground_labels[paste.foreground]),
                _box(modal),
                modal=modal,
                amodal=amodal,
                visible_fraction=fraction,
                z=z,
                pasted=True,
                ignore=fraction < scene.settings.min_visible,
                source=material.foreground_keys[paste.foreground],
            )


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
    return min(1.0, int(np.count_nonzero(modal.mask)) / max(1, amodal.whole_px))


def _box(region: Drawn) -> tuple[float, float, float, float]:
    height, width = region.mask.shape
    return region.left, region.top, region.left + width, region.top + height
