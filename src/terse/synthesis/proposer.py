"""What the proposers of all arms share: which composites are wanted, and the pastes that these are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from terse.draws import derive, integers, seeds_of, uniform
from terse.placements import Placements, Role
from terse.poses import PoseFamily
from terse.protocols import Proposer
from terse.requests import Limits, Requests
from terse.synthesis.materials import Materials
from terse.synthesis.occluders import occluder_pastes, occluder_poses
from terse.synthesis.pastes import Pastes

if TYPE_CHECKING:
    from torch import nn

__all__ = ["BaseProposer", "pastes_of", "propose", "random_classes", "random_occluders", "random_poses"]


class BaseProposer:
    """What a proposer begins with; it adds `propose`.

    Attributes:
        limits: how requests are drawn; set others to ask for other numbers of objects, blends or overlaps.
        keeps_hard: whether the harvest keeps only what is hard for the target.
        batch_size: composites looked at together in the harvest.
        poses_occluders: whether the poses that `placed` is given put occluders in front of something; else it does.

    Source: ours.
    """

    keeps_hard = False
    poses_occluders = False
    module: nn.Module | None = None

    def __init__(self, materials: Materials, batch_size: int, limits: Limits | None = None) -> None:
        self.materials = materials
        self.batch_size = batch_size
        self.limits = limits or Limits()

    def requests(self, seeds: UInt64[np.ndarray, " b"]) -> Requests:
        """Composites on random backgrounds, objects of every class equally often.

        Source: paper A.2 (random pairs); equal classes are ours, so that per-class quotas fill alike.
        """
        materials, limits = self.materials, self.limits
        apart = [materials.foregrounds.classes.index(name) for name in limits.distractor_classes]
        classes = materials.of_task[~np.isin(materials.of_task, apart)]
        size_px = np.full((len(seeds), 2), materials.canvas_px, dtype=np.int64)
        return Requests(
            background=integers(seeds, "background", len(materials.backgrounds)),
            size_px=size_px,
            labels=random_classes(seeds, "object", limits.objects, classes),
            seeds=seeds,
            distractors=random_classes(seeds, "distractor", limits.distractors, np.array(apart, dtype=np.int64)),
            occluders=random_occluders(seeds, limits),
        )

    def placed(self, requests: Requests, pastes: Pastes, pose: Float64[np.ndarray, "n k"]) -> Placements:
        """The placements of these pastes, each image in one of the blends.

        Args:
            requests: what was asked for.
            pastes: what goes into each image.
            pose: of each paste, or its joint pose (`PoseFamily.joint`). The picture has the pose that comes with
                its lowest paste; where there is none, a random one.
        """
        aimed = np.flatnonzero(pastes.role == Role.OCCLUDER)
        if len(aimed) and not self.poses_occluders:
            pose = pose.copy()
            pose[aimed] = occluder_poses(self.materials, pastes.take(aimed), requests)
        seeds, blends, poses = requests.seeds, self.limits.blends, self.materials.poses
        of_image = {}
        if poses.image is not None:
            picture = random_poses(poses.image, seeds)
            if pose.shape[1] > poses.size:
                images, lowest = np.unique(pastes.image_index, return_index=True)
                picture[images] = pose[lowest, poses.size :]
            of_image = {"image_pose": np.round(picture, 5)}
            pose = pose[:, : poses.size]
        return Placements(
            background=requests.background,
            image_index=pastes.image_index,
            foreground=pastes.foreground,
            pose=np.round(pose, 5),
            role=pastes.role,
            texture=pastes.texture,
            blend=tuple(blends[i] for i in integers(seeds, "blend", len(blends)).tolist()),
            seed=(seeds >> np.uint64(33)).astype(np.int64),
            size_px=requests.size_px,
            **of_image,
        )


def pastes_of(materials: Materials, requests: Requests, *, distractors_on_top: bool = False) -> Pastes:
    """A random foreground of each class that is asked for; distractors lie anywhere between the objects, or on top.

    Occluders are above all of them.

    Source: Dwibedi et al. 2017 (distractors); their place between the objects is ours.
    """
    wanted = requests.distractors or ((),) * len(requests)
    numbers = np.array([len(a) + len(b) for a, b in zip(requests.labels, wanted, strict=True)], dtype=np.int64)
    index = np.repeat(np.arange(len(requests)), numbers)
    rank = np.arange(len(index)) - (np.cumsum(numbers) - numbers)[index]
    both = zip(requests.labels, wanted, strict=True)
    label = np.array([label for a, b in both for label in (*a, *b)], dtype=np.int64)
    objects = np.array([len(of_image) for of_image in requests.labels], dtype=np.int64)
    role = np.where(rank < objects[index], int(Role.OBJECT), int(Role.DISTRACTOR))
    seeds = derive(requests.seeds[index], rank)
    texture = np.full(len(index), -1, dtype=np.int64)
    pastes = Pastes(index, label, role, materials.by_class.pick(label, seeds), seeds, texture)
    if not distractors_on_top and requests.distractors:
        pastes = pastes.take(np.lexsort((uniform(seeds, "z", 1)[:, 0], index)))
    return pastes.under(occluder_pastes(materials, requests)) if any(requests.occluders) else pastes


def random_occluders(seeds: UInt64[np.ndarray, " b"], limits: Limits) -> tuple[int, ...]:
    """How many occluders each image is to have; nothing where the limits allow none.

    Source: ours.
    """
    low, high = limits.occluders
    return tuple(integers(seeds, "occluders", high + 1, low).tolist()) if high else ()


def propose(
    proposer: Proposer,
    count: int,
    *step: int | str,
    spread: Callable[[Proposer, Requests], Placements] | None = None,
) -> Placements:
    """So many composites of a step, named by its run's seed, cycle, phase and number.

    Where the arm draws each scene in all blends, the last scene may lack some. `spread` has the requests answered by
    several processes.

    Source: ours.
    """
    limits = proposer.limits
    copies = limits.copies
    requests = proposer.requests(seeds_of(*step, count=math.ceil(count / copies)))
    scenes = proposer.propose(requests) if spread is None else spread(proposer, requests)
    if copies == 1:
        return scenes
    repeated = scenes.take(np.repeat(np.arange(len(scenes)), copies)[:count])
    return replace(repeated, blend=(limits.blends * len(scenes))[:count])


def random_poses(
    family: PoseFamily,
    seeds: UInt64[np.ndarray, " n"],
    labels: Int64[np.ndarray, " n"] | None = None,
    classes: Sequence[str] = (),
) -> Float64[np.ndarray, "n k"]:
    """Random poses in the family's ranges, or in those of each paste's class where labels are given.

    Source: Tieleman 2013 (affNIST); ranges of classes are ours.
    """
    pose = family.from_unit(family.random_unit(uniform(seeds, "pose", family.size)))
    return pose if labels is None else family.of_classes(pose, labels, classes)


def random_classes(
    seeds: UInt64[np.ndarray, " b"], name: str, limits: tuple[int, int], classes: Int64[np.ndarray, " c"]
) -> tuple[tuple[int, ...], ...]:
    """So many random classes for each image: the numbers are drawn between the limits, each as likely.

    Source: ours.
    """
    numbers = integers(seeds, f"{name}s", limits[1] + 1, limits[0])
    if not limits[1]:
        return ((),) * len(seeds)
    chosen = [classes[integers(derive(seeds, k), f"{name} class", len(classes))] for k in range(limits[1])]
    rows = np.stack(chosen, axis=1).tolist()
    return tuple(tuple(row[:number]) for row, number in zip(rows, numbers.tolist(), strict=True))
