"""Several families in a row: what the recipe's `poses` builds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from terse.errors import RecipeError
from terse.poses.family import PoseFamily

if TYPE_CHECKING:
    from jaxtyping import Float, Float64, Int64
    from torch import Tensor

    from terse.config import Component
    from terse.poses.maps import SamplingMap
    from terse.poses.space import Numbers
    from terse.types import Foregrounds

__all__ = ["Chain", "build_poses"]


class Chain(PoseFamily):
    """Families in the order in which they act on a foreground; their maps are composed, so it is resampled once.

    A pose is the members' poses side by side. Members that act on the whole picture are a chain of their own, `image`.

    Args:
        members: at least one that acts on pastes.

    Raises:
        RecipeError: no member places foregrounds.

    Source: ours.
    """

    def __init__(self, members: Sequence[PoseFamily]) -> None:
        pastes = tuple((k, member) for k, member in enumerate(members) if member.on == "paste")
        images = tuple((k, member) for k, member in enumerate(members) if member.on == "image")
        kinds = ", ".join(member.kind for member in members)
        if not any(member.has("sampling") for _, member in pastes):
            raise RecipeError(
                f"poses: expected a family that places foregrounds, got {kinds or 'none'}; add kind: affine"
            )
        self._image = _ImageChain(images) if images else None
        self._joint = _Joint((*pastes, *images)) if images else self
        self._set(pastes)

    def _set(self, members: Sequence[tuple[int, PoseFamily]]) -> None:
        self.members = tuple(member for _, member in members)
        self.kind = ", ".join(member.kind for member in self.members)
        self._columns = tuple(f"{k}.{member.kind}.{name}" for k, member in members for name in member.names)
        self.names = self.members[0].names if len(members) == 1 else self._columns
        self.ranges = tuple(limits for member in self.members for limits in member.ranges)
        self.neutral = tuple(value for member in self.members for value in member.neutral)
        self.min_visible = max(member.min_visible for member in self.members)
        ends = np.cumsum([member.size for member in self.members]).tolist()
        self._slices = [slice(end - member.size, end) for end, member in zip(ends, self.members, strict=True)]
        self.wraps = tuple(
            part.start + place
            for member, part in zip(self.members, self._slices, strict=True)
            for place in member.wraps
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """The numbers' names in a placement: `<position>.<kind>.<name>`, positions counted in the recipe's list."""
        return self._columns

    @property
    def image(self) -> PoseFamily | None:
        """The members that act on the whole picture."""
        return self._image

    @property
    def joint(self) -> PoseFamily:
        """The members that act on pastes, then those that act on the whole picture."""
        return self._joint

    def from_unit(self, unit: Numbers) -> Numbers:
        """Each member's own."""
        return self._each(unit, lambda member, part: member.from_unit(part))

    def to_unit(self, pose: Numbers) -> Numbers:
        """Each member's own."""
        return self._each(pose, lambda member, part: member.to_unit(part))

    def random_unit(self, uniform: Numbers) -> Numbers:
        """Each member's own."""
        return self._each(uniform, lambda member, part: member.random_unit(part))

    def from_raw(self, raw: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Each member's own."""
        return self._each(raw, lambda member, part: member.from_raw(part))

    def to_raw(self, unit: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
        """Each member's own."""
        return self._each(unit, lambda member, part: member.to_raw(part))

    def pose_of(
        self,
        count: int,
        values: Mapping[str, Float64[np.ndarray, " n"]],
        unit: Float64[np.ndarray, "n k"] | None = None,
    ) -> Float64[np.ndarray, "n k"]:
        """Each member's own."""
        parts = [None if unit is None else unit[:, part] for part in self._slices]
        poses = [member.pose_of(count, values, part) for member, part in zip(self.members, parts, strict=True)]
        return np.concatenate(poses, axis=1)

    def limits_of(self, name: str) -> tuple[float, float] | None:
        """Of the first member that has a number of that name."""
        return next((found for member in self.members if (found := member.limits_of(name)) is not None), None)

    @property
    def named_classes(self) -> tuple[str, ...]:
        """Those of all members."""
        return tuple(dict.fromkeys(name for member in self.members for name in member.named_classes))

    def ranges_of(self, name: str) -> Sequence[tuple[float, float]]:
        """Each member's own."""
        return tuple(limits for member in self.members for limits in member.ranges_of(name))

    def prepare(self, cut: Foregrounds, pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]) -> Foregrounds:
        """One member after the other."""
        for member, part in self._parts(pose):
            cut = member.prepare(cut, part, seeds)
        return cut

    def steps(
        self, pose: Float[Tensor, "b k"], hull: Float[Tensor, "b points 2"], half: Float[Tensor, "b 2"]
    ) -> tuple[list[SamplingMap], Float[Tensor, "b outline 2"]]:
        """The members' maps; each member gets the hull as those before it leave it."""
        from terse.poses.maps import rim_of

        steps: list[SamplingMap] = []
        made: list[SamplingMap] = []
        for member, part in self._parts(pose):
            if member.has("sampling"):
                for step in made[-1:]:
                    hull = step.inverse(rim_of(hull, straight=step.straight))
                made, hull = member.steps(part, hull, half)
                steps += made
        return steps, hull

    def shade(
        self, below: Float[Tensor, "b c h w"], alpha: Float[Tensor, "b 1 h w"], pose: Float[Tensor, "b k"]
    ) -> Float[Tensor, "b c h w"]:
        """One member after the other."""
        for member, part in self._parts(pose):
            below = member.shade(below, alpha, part)
        return below

    def finish(
        self, images: Float[Tensor, "b c h w"], pose: Float[Tensor, "b k"], seeds: Int64[Tensor, " b"]
    ) -> Float[Tensor, "b c h w"]:
        """One member after the other."""
        for member, part in self._parts(pose):
            images = member.finish(images, part, seeds)
        return images

    def has(self, stage: Literal["prepare", "sampling", "shade", "finish"]) -> bool:
        """Whether any member changes anything in a stage."""
        return any(member.has(stage) for member in self.members)

    def relative_size(self, pose: Float64[np.ndarray, "n k"]) -> tuple[Float64[np.ndarray, " n"], float, float] | None:
        """Of the first member that scales."""
        found = (member.relative_size(part) for member, part in self._parts(pose))
        return next((size for size in found if size is not None), None)

    def position(self, pose: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n 2"] | None:
        """Of the first member that moves."""
        found = (member.position(part) for member, part in self._parts(pose))
        return next((place for place in found if place is not None), None)

    def moved_to(
        self,
        pose: Float64[np.ndarray, "n k"],
        extents_px: Float64[np.ndarray, "n 2"],
        centres_px: Float64[np.ndarray, "n 2"],
        size_px: Int64[np.ndarray, "n 2"],
    ) -> Float64[np.ndarray, "n k"]:
        """By the first member that moves."""
        for member, part in zip(self.members, self._slices, strict=True):
            if member.position(pose[:, part]) is not None:
                moved = pose.copy()
                moved[:, part] = member.moved_to(pose[:, part], extents_px, centres_px, size_px)
                return moved
        return super().moved_to(pose, extents_px, centres_px, size_px)

    def _parts(self, pose: Any) -> list[tuple[PoseFamily, Any]]:
        return [(member, pose[:, part]) for member, part in zip(self.members, self._slices, strict=True)]

    def _each(self, values: Numbers, of: Callable[[PoseFamily, Any], Numbers]) -> Numbers:
        parts = [of(member, part) for member, part in self._parts(values)]
        if isinstance(values, np.ndarray):
            return np.concatenate(parts, axis=1)
        import torch

        return torch.cat(parts, dim=1)


class _ImageChain(Chain):
    on: Literal["paste", "image"] = "image"

    def __init__(self, members: Sequence[tuple[int, PoseFamily]]) -> None:
        self._image = self._joint = self
        self._set(members)


class _Joint(_ImageChain):
    on = "paste"


def build_poses(configs: Component[PoseFamily] | Sequence[Component[PoseFamily]]) -> PoseFamily:
    """The family of a recipe's `poses`: of one component itself, of several their chain.

    Raises:
        RecipeError: no family places foregrounds.

    Source: ours.
    """
    built = []
    for config in configs if isinstance(configs, Sequence) else [configs]:
        built.append(config.build())
        built[-1].kind = config.kind  # a family of another's may build one of ours
    return built[0] if len(built) == 1 and built[0].on == "paste" else Chain(built)
