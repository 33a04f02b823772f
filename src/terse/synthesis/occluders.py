"""Things without a label in front of the backgrounds' own annotated objects, which are then seen in part.

They are foregrounds of classes that the task does not have; where there are none, shapes of foregrounds with pixels of
another background.
"""

import numpy as np
from jaxtyping import Float64

from terse.draws import derive, integers, uniform
from terse.placements import Role
from terse.requests import Requests
from terse.synthesis.materials import Materials
from terse.synthesis.pastes import Pastes

__all__ = ["occluder_pastes", "occluder_poses"]

_SIDES = (0.4, 1.0)  # of an occluder, over the mean side of the object behind it


def occluder_pastes(materials: Materials, requests: Requests) -> Pastes:
    """The occluders that the requests want; a background without annotated objects gets none.

    Source: ours; Dwibedi et al. 2017 paste distractors, which need not hide anything.
    """
    wanted = requests.occluders or (0,) * len(requests)
    pairs = zip(wanted, requests.background.tolist(), strict=True)
    numbers = np.array([n if n and len(materials.own_boxes(b)) else 0 for n, b in pairs], dtype=np.int64)
    index = np.repeat(np.arange(len(requests)), numbers)
    rank = np.arange(len(index)) - (np.cumsum(numbers) - numbers)[index]
    seeds = derive(derive(requests.seeds[index], "occluder"), rank)
    others = np.setdiff1d(materials.by_class.present, materials.of_task)
    classes = others if len(others) else materials.of_task
    label = classes[integers(seeds, "class", len(classes))]
    texture = np.full(len(index), -1, dtype=np.int64)
    if not len(others):
        usable, own = materials.textures, requests.background[index]
        place = integers(seeds, "texture", len(usable))
        texture = np.where(usable[place] == own, usable[(place + 1) % len(usable)], usable[place])
    role = np.full(len(index), int(Role.OCCLUDER), dtype=np.int64)
    return Pastes(index, label, role, materials.by_class.pick(label, seeds), seeds, texture)


def occluder_poses(materials: Materials, pastes: Pastes, requests: Requests) -> Float64[np.ndarray, "n k"]:
    """Poses that put each of these pastes in front of an object of its background.

    The object is drawn at random, the occluder's size as a share of it, and its centre anywhere in the object's box.

    Source: ours.
    """
    framing, seeds, count = materials.framing, pastes.seeds, len(pastes.seeds)
    if not count:
        return np.zeros((0, materials.poses.size))
    size_px = requests.size_px[pastes.image_index]
    own = [materials.own_boxes(number) for number in requests.background[pastes.image_index].tolist()]
    whom = integers(seeds, "whom", np.array([len(boxes) for boxes in own]))
    box = np.stack([boxes[k] for boxes, k in zip(own, whom.tolist(), strict=True)]) * np.tile(size_px, 2)
    sides = box[:, 2:] - box[:, :2]
    (turn_low, turn_high), (low, high) = framing.limits("rotation_deg", None), framing.limits("scale", None)
    unit = uniform(seeds, "in front", 4)
    values = {"rotation_deg": turn_low + (turn_high - turn_low) * unit[:, 0], "scale": np.full(count, high)}
    extents = framing.extents_px(pastes.foreground, framing.pose(count, values, seeds), size_px)
    wanted = np.sqrt(sides.prod(axis=1)) * (_SIDES[0] + (_SIDES[1] - _SIDES[0]) * unit[:, 1])
    scale = high * wanted / np.sqrt(np.clip(extents.prod(axis=1), 1e-6, None))
    pose = framing.pose(count, {**values, "scale": np.clip(scale, low, high)}, seeds)
    extents = framing.extents_px(pastes.foreground, pose, size_px)
    return materials.poses.moved_to(pose, extents, box[:, :2] + unit[:, 2:] * sides, size_px)
