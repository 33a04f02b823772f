"""The record of composites: what is pasted where. Rendering it again gives the same pixels.

Every field says whether it holds one value an image or one a paste. Taking, joining and keeping placements in a
checkpoint go over the fields by that, so a new field needs no other edit and cannot be lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import IntEnum
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from terse.errors import RunError

__all__ = ["Placements", "Role"]

_STATE_FORMAT = 1
_IMAGE: Mapping[str, Any] = {"per": "image"}
_PASTE: Mapping[str, Any] = {"per": "paste"}


class Role(IntEnum):
    """What a paste is in its image."""

    OBJECT = 0  # a labelled object of the task
    DISTRACTOR = 1  # pasted to confuse; carries no label (Dwibedi et al. 2017)
    ARTEFACT = 2  # foreground-shaped patch of another background (paper 3.1)
    OCCLUDER = 3  # in front of an object of the background; carries no label


def _absent() -> Any:
    """A field that was not given; it is filled with its value for "not known"."""
    return None


@dataclass(frozen=True, slots=True)
class Placements:
    """The complete record of composites, flat over pastes, which stand in z-order (first is lowest) in their image.

    Poses hold the mapped values (degrees, fractions of the canvas) rounded to 1e-5, so a record can be read, edited
    and drawn at another resolution. What is not known of an image holds the value named in its field.
    """

    background: Int64[np.ndarray, " b"] = field(metadata=_IMAGE)  # index in the background bank
    image_index: Int64[np.ndarray, " n"] = field(metadata=_PASTE)  # the image each paste is in, ascending
    foreground: Int64[np.ndarray, " n"] = field(metadata=_PASTE)  # index in the bank; for an artefact, the shape
    pose: Float64[np.ndarray, "n k"] = field(metadata=_PASTE)  # one number a column of the pose family
    role: Int64[np.ndarray, " n"] = field(metadata=_PASTE)  # a Role
    texture: Int64[np.ndarray, " n"] = field(
        metadata=_PASTE
    )  # background that an artefact or an occluder is cut from; -1 for the others
    blend: tuple[str, ...] = field(metadata=_IMAGE)
    seed: Int64[np.ndarray, " b"] = field(metadata=_IMAGE)
    number: Int64[np.ndarray, " b"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": -1})
    size_px: Int64[np.ndarray, "b 2"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": (-1, -1)})
    """Width and height of the canvas."""
    image_pose: Float64[np.ndarray, "b j"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": ()})
    """The pose of the whole picture."""
    cycle: Int64[np.ndarray, " b"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": -1})
    """When it was harvested."""
    label: Int64[np.ndarray, " b"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": -1})
    """The class of its first object."""
    hardness: Float64[np.ndarray, " b"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": np.nan})
    """1 - p, p the target's probability of the truth when it was harvested or generated."""
    hard: Bool[np.ndarray, " b"] = field(default_factory=_absent, metadata={**_IMAGE, "missing": False})
    """Whether that counted as hard."""

    def __post_init__(self) -> None:
        for one in fields(self):
            if getattr(self, one.name) is None:
                missing, per = np.asarray(one.metadata["missing"]), one.metadata["per"]
                count = len(self.background if per == "image" else self.image_index)
                object.__setattr__(self, one.name, np.broadcast_to(missing, (count, *missing.shape)).copy())

    def __len__(self) -> int:
        return len(self.background)

    @property
    def offsets(self) -> Int64[np.ndarray, " b_and_one"]:
        """Where each image's pastes begin, and where the last one's end."""
        found: Int64[np.ndarray, " b_and_one"] = np.searchsorted(self.image_index, np.arange(len(self) + 1))
        return found

    def canvas_px(self, image: int) -> tuple[int, int]:
        """Width and height of one image's canvas."""
        width, height = self.size_px[image].tolist()
        return width, height

    @property
    def layers(self) -> list[Int64[np.ndarray, " m"]]:
        """The rows of the first paste of each image, of the second, and so on."""
        rank = np.arange(len(self.image_index)) - self.offsets[self.image_index]
        return [np.flatnonzero(rank == k) for k in range(int(rank.max(initial=-1)) + 1)]

    @staticmethod
    def single(
        background: Int64[np.ndarray, " b"],
        foreground: Int64[np.ndarray, " b"],
        pose: Float64[np.ndarray, "b k"],
        blend: str = "alpha",
        seed: int = 0,
    ) -> "Placements":
        """One object an image: the paper's case."""
        n = len(background)
        return Placements(
            background=background,
            image_index=np.arange(n),
            foreground=foreground,
            pose=np.round(pose, 5),
            role=np.full(n, int(Role.OBJECT), dtype=np.int64),
            texture=np.full(n, -1, dtype=np.int64),
            blend=(blend,) * n,
            seed=np.full(n, seed, dtype=np.int64),
        )

    @staticmethod
    def empty(pose_size: int) -> "Placements":
        """No images; the poses have this many numbers."""
        none = np.zeros(0, dtype=np.int64)
        return Placements.single(none, none, np.zeros((0, pose_size)))

    @classmethod
    def join(cls, parts: Sequence["Placements"]) -> "Placements":
        """Placements put one behind the other."""
        starts = np.cumsum([0, *(len(part) for part in parts)])
        index = [part.image_index + start for part, start in zip(parts, starts, strict=False)]
        joined = {one.name: _concatenated([getattr(part, one.name) for part in parts]) for one in fields(cls)}
        return cls(**{**joined, "image_index": np.concatenate(index)})

    def take(self, images: Int64[np.ndarray, " m"]) -> "Placements":
        """Some of the images, in the order given."""
        offsets = self.offsets
        first, counts = offsets[images], offsets[images + 1] - offsets[images]
        shift = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(images) else np.zeros(0, dtype=np.int64)
        rows = np.repeat(first - shift, counts) + np.arange(counts.sum())
        index = np.repeat(np.arange(len(images)), counts)
        return replace(self._pastes(rows, index), **self._chosen("image", images))

    def keep(self, pastes: Int64[np.ndarray, " k"]) -> "Placements":
        """All the images, with some of the pastes, ascending."""
        return self._pastes(pastes, self.image_index[pastes])

    def under(self, above: "Placements") -> "Placements":
        """The images of `above`, with these pastes of the same images below its own."""
        order = np.argsort(np.concatenate([self.image_index, above.image_index]), kind="stable")
        names = [one.name for one in fields(self) if one.metadata["per"] == "paste"]
        pairs = {name: [getattr(self, name), getattr(above, name)] for name in names}
        return replace(above, **{name: _concatenated(pair)[order] for name, pair in pairs.items()})

    def state(self) -> dict[str, Any]:
        """Tensors and lists for a checkpoint; `from_state` reads them."""
        import torch

        values = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = {name: list(v) if isinstance(v, tuple) else torch.from_numpy(v.copy()) for name, v in values.items()}
        return {"format": _STATE_FORMAT, **kept}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Placements":
        """What `state` kept.

        Raises:
            RunError: another version's.
        """
        if state.get("format") != _STATE_FORMAT:
            raise RunError(
                f"state: expected placements of format {_STATE_FORMAT}, got {state.get('format', 'none')}; "
                "go on with the version of terse that the run was begun with"
            )
        values: dict[str, Any] = {one.name: state[one.name] for one in fields(cls)}
        read: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v.numpy().copy() for k, v in values.items()}
        return cls(**read)

    def _chosen(self, per: str, rows: Int64[np.ndarray, " m"]) -> dict[str, Any]:
        """The fields that have a value for each image or for each paste, at these rows."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.metadata["per"] == per}
        return {
            name: tuple(v[i] for i in rows.tolist()) if isinstance(v, tuple) else v[rows] for name, v in values.items()
        }

    def _pastes(self, rows: Int64[np.ndarray, " k"], image_index: Int64[np.ndarray, " k"]) -> "Placements":
        return replace(self, **{**self._chosen("paste", rows), "image_index": image_index})


def _concatenated(values: Sequence[Any]) -> Any:
    if isinstance(values[0], tuple):
        return tuple(item for value in values for item in value)
    return np.concatenate(values)
