"""Scenes of simple shapes: drawn by OpenCV from a seed and a number, never stored.

Each object has its mask. An arrow has two keypoints as well, its tip and its tail.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, Int64, UInt8
from torch import Tensor

from terse.poses.maps import support_points
from terse.sources.banks import floats_of
from terse.sources.cache import Cache
from terse.sources.masks import box_of
from terse.sources.patches import cut_patch, points_in_patch
from terse.types import Backgrounds, Foregrounds, Truth

__all__ = [
    "ARROW",
    "CLASSES",
    "EASY",
    "HARD",
    "SceneBackgrounds",
    "SceneForegrounds",
    "SceneImages",
    "Scenes",
    "Style",
    "between",
]

CLASSES = ("circle", "square", "triangle")
ARROW = "arrow"
_ANGLES = np.linspace(0, 2 * np.pi, 48, endpoint=False)
# Outlines in a unit square about the origin, y downwards.
_OUTLINES = {
    "circle": np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) / 2,
    "square": np.array([[-0.45, -0.45], [0.45, -0.45], [0.45, 0.45], [-0.45, 0.45]]),
    "triangle": np.array([[0.0, -0.5], [0.5, 0.4], [-0.5, 0.4]]),
    ARROW: np.array([[0, -0.5], [0.4, 0.05], [0.14, 0.05], [0.14, 0.5], [-0.14, 0.5], [-0.14, 0.05], [-0.4, 0.05]]),
}
_POINTS = {ARROW: np.array([[0.0, -0.5], [0.0, 0.5]])}  # tip and tail
_FINE = 4  # shapes are drawn so much larger and then averaged: smooth, exact edges
_TRIES = 30
_KEEP_BYTES = 1 << 28
_HALF = 127


@dataclass(frozen=True, slots=True)
class Style:
    """How objects stand in a scene."""

    size_frac: tuple[float, float]  # of the canvas
    rotation_deg: float  # up to, to both sides
    visible: float  # on each axis, at least this share of the object is inside
    count: int  # objects, at most


EASY = Style(size_frac=(0.35, 0.55), rotation_deg=0.0, visible=1.0, count=2)
HARD = Style(size_frac=(0.15, 0.4), rotation_deg=90.0, visible=0.7, count=3)


def between(gap: float) -> Style:
    """The style so far on the way from the easy one to the hard one."""
    first, last = EASY.size_frac, HARD.size_frac
    low, high = ((1 - gap) * a + gap * b for a, b in zip(first, last, strict=True))
    return Style(
        size_frac=(low, high),
        rotation_deg=(1 - gap) * EASY.rotation_deg + gap * HARD.rotation_deg,
        visible=(1 - gap) * EASY.visible + gap * HARD.visible,
        count=HARD.count,
    )


@dataclass(frozen=True, slots=True)
class _Scene:
    image: UInt8[np.ndarray, "h w 3"]
    labels: tuple[int, ...]
    masks: tuple[UInt8[np.ndarray, "h w"], ...]
    boxes_px: Float32[np.ndarray, "n 4"]
    keypoints: Float32[np.ndarray, "n 2 3"]


class Scenes:
    """So many scenes of one style; None draws no objects. The first object's class goes round with the number."""

    def __init__(
        self,
        name: str,
        count: int,
        canvas_px: int,
        style: Style | None,
        seed: int,
        classes: tuple[str, ...] = CLASSES,
    ) -> None:
        self.classes = classes
        self.name = name
        self.count = count
        self.canvas_px = canvas_px
        self.style = style
        self._seed = (seed, zlib.crc32(name.encode()))
        self._cache = Cache(self._draw, lambda scene: scene.image.nbytes * 2, _KEEP_BYTES)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy in another process draws for itself."""
        return Scenes, (self.name, self.count, self.canvas_px, self.style, self._seed[0], self.classes)

    @property
    def has_keypoints(self) -> bool:
        """Whether some class has keypoints."""
        return any(name in _POINTS for name in self.classes)

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> list[_Scene]:
        """The scenes of these numbers."""
        return self._cache.fetch(indices.tolist())

    def _draw(self, index: int) -> _Scene:
        rng = np.random.default_rng([*self._seed, index])
        side = self.canvas_px
        image = _texture(rng, side)
        labels: list[int] = []
        masks: list[np.ndarray] = []
        points: list[np.ndarray] = []
        taken = np.zeros((side, side), dtype=np.bool_)
        wanted = int(rng.integers(1, self.style.count + 1)) if self.style else 0
        for k in range(wanted):
            label = index % len(self.classes) if k == 0 else int(rng.integers(len(self.classes)))
            placed = _place(rng, side, self.classes[label], self.style, taken) if self.style else None
            if placed is None:
                continue
            mask, its_points = placed
            weight = mask[..., None] / np.float32(255)
            image = image * (1 - weight) + _paint(rng, side) * weight
            taken |= cv2.dilate(mask, np.ones((5, 5), np.uint8)) > 0
            labels.append(label)
            masks.append(mask)
            points.append(its_points)
        boxes = [box_of((mask > _HALF).astype(np.uint8)) for mask in masks]
        return _Scene(
            np.clip(np.rint(image), 0, 255).astype(np.uint8),
            tuple(labels),
            tuple(masks),
            np.array(boxes, dtype=np.float32).reshape(-1, 4),
            np.array(points, dtype=np.float32).reshape(-1, 2, 3),
        )


class SceneForegrounds:
    """The first object of each scene, on a patch of the canvas's size that its longer side fills."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self.classes: tuple[str, ...] = scenes.classes
        self.labels: Int64[np.ndarray, " n"] = np.arange(scenes.count) % len(scenes.classes)
        self.keys: Sequence[str] = [f"shapes/{scenes.name}:{i}:0" for i in range(scenes.count)]

    def __len__(self) -> int:
        return self._scenes.count

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Foregrounds:
        """The cut-outs of these numbers."""
        side = self._scenes.canvas_px
        patches = np.zeros((len(indices), side, side, 4), dtype=np.uint8)
        points: list[np.ndarray] = []
        for patch, scene in zip(patches, self._scenes.fetch(indices), strict=True):
            hard = np.where(scene.masks[0] > _HALF, 255, 0).astype(np.uint8)
            x0, y0, x1, y1 = scene.boxes_px[0].astype(int).tolist()
            patch[:] = cut_patch(scene.image[y0:y1, x0:x1], hard[y0:y1, x0:x1], side)
            points.append(points_in_patch(scene.keypoints[0], (x0, y0, x1, y1), side, (1.0, 1.0)))
        rgba = floats_of(patches)
        labels = torch.from_numpy(self.labels[indices])
        keypoints = torch.from_numpy(np.stack(points)) if points and self._scenes.has_keypoints else None
        return Foregrounds(rgba[:, :3], rgba[:, 3:], labels, support_points(rgba[:, 3:]), keypoints)


class SceneBackgrounds:
    """Scenes without objects."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes
        self.keys: Sequence[str] = [f"shapes/{scenes.name}:{i}" for i in range(scenes.count)]

    def __len__(self) -> int:
        return self._scenes.count

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> Backgrounds:
        """The backgrounds of these numbers."""
        return Backgrounds(_images(self._scenes, indices), Truth.empty(len(indices)))


class SceneImages:
    """Scenes and their truth."""

    def __init__(self, scenes: Scenes) -> None:
        self._scenes = scenes

    def __len__(self) -> int:
        return self._scenes.count

    def fetch(self, indices: Int64[np.ndarray, " b"]) -> tuple[Float[Tensor, "b 3 h w"], Truth]:
        """Images and truth of these numbers."""
        scenes = self._scenes.fetch(indices)
        owner = [k for k, scene in enumerate(scenes) for _ in scene.labels]
        no = torch.zeros(len(owner), dtype=torch.bool)
        side = self._scenes.canvas_px
        boxes = np.concatenate([np.zeros((0, 4), dtype=np.float32), *(scene.boxes_px for scene in scenes)])
        points = np.concatenate([np.zeros((0, 2, 3), dtype=np.float32), *(scene.keypoints for scene in scenes)])
        masks = np.array([mask for scene in scenes for mask in scene.masks], dtype=np.uint8).reshape(-1, side, side)
        truth = Truth(
            labels=torch.tensor([label for scene in scenes for label in scene.labels], dtype=torch.int64),
            boxes_px=torch.from_numpy(boxes),
            image_index=torch.tensor(owner, dtype=torch.int64),
            pasted=no,
            ignore=no,
            batch_size=len(scenes),
            masks=torch.from_numpy(masks > _HALF),
            keypoints=torch.from_numpy(points) if self._scenes.has_keypoints else None,
        )
        return _images(self._scenes, indices), truth


def _images(scenes: Scenes, indices: Int64[np.ndarray, " b"]) -> Float[Tensor, "b 3 h w"]:
    side = scenes.canvas_px
    empty = np.zeros((0, side, side, 3), dtype=np.uint8)
    drawn = [scene.image for scene in scenes.fetch(indices)]
    stacked = np.stack(drawn) if drawn else empty
    return floats_of(stacked)


def _place(
    rng: np.random.Generator, side: int, name: str, style: Style, taken: np.ndarray
) -> tuple[UInt8[np.ndarray, "h w"], Float32[np.ndarray, "2 3"]] | None:
    """An object's mask and keypoints at a free place; None where the scene is full."""
    for _ in range(_TRIES):
        size = rng.uniform(*style.size_frac) * side
        angle = np.deg2rad(rng.uniform(-style.rotation_deg, style.rotation_deg))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        outline = _OUTLINES[name] @ turn.T * size
        low, high = outline.min(axis=0), outline.max(axis=0)
        hidden = (1 - style.visible) * (high - low)
        centre = rng.uniform(-low - hidden, side - high + hidden)
        # Pixel edges at whole numbers, while OpenCV puts pixel centres there.
        points = np.rint(((outline + centre) * _FINE - 0.5) * 16).astype(np.int32)
        fine = np.zeros((side * _FINE, side * _FINE), dtype=np.uint8)
        cv2.fillPoly(fine, [points], 255, lineType=cv2.LINE_8, shift=4)
        mask = cv2.resize(fine, (side, side), interpolation=cv2.INTER_AREA)
        if not (taken & (mask > 0)).any() and (mask > _HALF).any():
            return np.asarray(mask, dtype=np.uint8), _keypoints(name, turn * size, centre, side)
    return None


def _keypoints(name: str, turn: np.ndarray, centre: np.ndarray, side: int) -> Float32[np.ndarray, "2 3"]:
    """x, y and how visible each keypoint is: 0 outside the scene, and for a class that has none."""
    found = np.zeros((2, 3), dtype=np.float32)
    if name in _POINTS:
        place = _POINTS[name] @ turn.T + centre
        inside = ((place >= 0) & (place < side)).all(axis=1)
        found[inside] = np.concatenate([place, np.full((2, 1), 2.0)], axis=1)[inside]
    return found


def _texture(rng: np.random.Generator, side: int) -> Float32[np.ndarray, "h w 3"]:
    """Soft patches of colour, some stripes, and grain."""
    cells = int(rng.integers(2, 7))
    image = cv2.resize(
        rng.uniform(40, 215, (cells, cells, 3)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(int(rng.integers(0, 5))):
        start, end = rng.integers(0, side, (2, 2)).tolist()
        colour = rng.uniform(20, 235, 3).tolist()
        cv2.line(image, start, end, colour, int(rng.integers(1, 4)), cv2.LINE_AA)
    return np.asarray(image + rng.normal(0, 4, image.shape), dtype=np.float32)


def _paint(rng: np.random.Generator, side: int) -> Float32[np.ndarray, "h w 3"]:
    """An object's colours: any, with a soft shade, so that only the outline tells the class."""
    shade = cv2.resize(rng.uniform(-25, 25, (3, 3, 1)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    colour = rng.uniform(10, 245, 3)
    return np.asarray(colour + shade[..., None] + rng.normal(0, 4, (side, side, 3)), dtype=np.float32)
