"""Pasting as an augmentation: a torchvision v2 transform over a batch of images with masks."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from terse.compositing import support_points
from terse.compositing.blend import blurred
from terse.compositing.raster import Drawn, Sprite, draw
from terse.compositing.raster_stages import finish
from terse.errors import RecipeError, ShapeError
from terse.poses import PoseFamily
from terse.process import torch_defaults
from terse.recipe_parts import EdgeConfig

__all__ = ["Paste"]

Target = dict[str, Any]


class Paste(v2.Transform):  # type: ignore[misc,unused-ignore]
    """Paste objects of one image of a batch into the next (Ghiasi et al. 2021), or anywhere under random poses.

    Called as `paste(images, targets)`: images are a batch tensor or a list of tensors (3, H, W) on the CPU, uint8 or
    float, with poses in [0, 1]; each target is a dict with `masks`, `boxes` and `labels`, as torchvision's detection
    references have it. Other tensors with one row an object in every target of the batch (area, iscrowd) travel along;
    `area` is counted anew. What a paste hides is taken off masks and boxes, and objects of which too little is left are
    dropped. Keypoints follow no move: with poses, or images of several sizes, they are refused. The donor of the first
    image is the last one. Inputs are not changed. Put it behind the collate function, for example in the training
    loop; randomness is the CPU's global generator of torch, as in v2.

    Args:
        poses: None pastes objects where they stood; else each is cut out and pasted under a random pose.
        objects: fewest and most objects pasted into an image; the donor may have fewer.
        blur_sigma_px: of the mask's border; 0 copies it hard.
        min_visible: objects of which less is left are dropped; those that vanish always are.
        p: share of images that are pasted into.
        per_image: entries of a target that are the image's, though they may have as many rows as it has objects.

    Raises:
        RecipeError: a number out of its range.
    """

    def __init__(
        self,
        poses: PoseFamily | None = None,
        *,
        objects: tuple[int, int] = (1, 20),
        blur_sigma_px: float = 1.0,
        min_visible: float = 0.0,
        p: float = 1.0,
        per_image: Sequence[str] = ("image_id", "orig_size", "size"),
    ) -> None:
        super().__init__()
        _check_settings(poses, objects, blur_sigma_px, min_visible, p)
        self.poses = poses
        self.objects = objects
        self.blur_sigma_px = blur_sigma_px
        self.min_visible = min_visible
        self.p = p
        self.per_image = tuple(per_image)

    @torch_defaults()
    def forward(self, images: Tensor | Sequence[Tensor], targets: Sequence[Target]) -> tuple[Any, list[Target]]:
        """The batch with objects of each image in the next.

        Raises:
            ShapeError: images and targets disagree, are not such tensors, or a target lacks masks, boxes or labels.
        """
        batch = list(images)
        _check(batch, targets)
        if not batch:
            return images, []
        columns = _columns(targets, self.per_image)
        if self.poses is not None:
            _check_range(batch)
        if self.poses is not None or len({image.shape for image in batch}) > 1:
            _check_moved(targets, columns)
        done = [
            self._into(image, target, batch[k - 1], targets[k - 1], columns)
            for k, (image, target) in enumerate(zip(batch, targets, strict=True))
        ]
        drawn = [image for image, _ in done]
        if isinstance(images, Tensor):
            return tv_tensors.wrap(torch.stack(drawn), like=images), [target for _, target in done]
        return [tv_tensors.wrap(new, like=old) for new, old in zip(drawn, batch, strict=True)], [t for _, t in done]

    def _into(
        self, image: Tensor, target: Target, donor: Tensor, given: Target, columns: Sequence[str]
    ) -> tuple[Tensor, Target]:
        chosen = self._choose(len(given["masks"]))
        if not len(chosen):
            return image, dict(target)
        every = _mask_bytes(given["masks"])
        masks = [every[k] for k in chosen.tolist()]
        size_px = image.shape[-2], image.shape[-1]
        if donor.shape != image.shape:
            donor = v2.functional.resize(donor.as_subclass(torch.Tensor), list(size_px), antialias=True)
            masks = [np.asarray(cv2.resize(mask, size_px[::-1], interpolation=cv2.INTER_NEAREST)) for mask in masks]
        if self.poses is None:
            new, pasted = _in_place(image, donor, masks, self.blur_sigma_px)
        else:
            new, pasted = self._under_poses(image, donor, masks)
        seen = [region for region in pasted if region.mask.size]
        if not seen:
            return image, dict(target)
        rows = chosen[[bool(region.mask.size) for region in pasted]]
        return new, _joined(target, given, columns, rows, seen, size_px, self.min_visible)

    def _choose(self, available: int) -> Tensor:
        if not available or torch.rand(()) >= self.p:
            return torch.zeros(0, dtype=torch.int64)
        low, high = (min(limit, available) for limit in self.objects)
        count = int(torch.randint(low, high + 1, ()))
        return torch.randperm(available)[:count].sort().values

    def _under_poses(
        self, image: Tensor, donor: Tensor, masks: Sequence[UInt8[np.ndarray, "h w"]]
    ) -> tuple[Tensor, list[Drawn]]:
        assert self.poses is not None
        pixels, canvas = _bytes(donor), _bytes(image)
        cuts = [_cut_out(pixels, mask) for mask in masks]
        hulls = torch.cat([support_points(torch.from_numpy(c[None, None, ..., 3] / np.float32(255))) for c in cuts])
        pose = self.poses.random(len(cuts)).double().numpy()
        # Only families that draw need seeds: for the others the generator stays where it was.
        draws = self.poses.has("prepare") or self.poses.image is not None
        seeds = torch.randint(2**31, (len(cuts) + 1,)).tolist() if draws else [0] * (len(cuts) + 1)
        posed = self.poses.raster(pose, hulls.numpy(), [(canvas.shape[0], canvas.shape[1])] * len(cuts), seeds[1:])
        edges = EdgeConfig(binarise=True, blur_sigma_px=self.blur_sigma_px)
        regions = [draw(canvas, Sprite.of(cut), one, edges=edges) for cut, one in zip(cuts, posed, strict=True)]
        if self.poses.image is not None:
            picture = self.poses.image
            finish(canvas, picture, picture.random(1)[0].double().numpy(), seeds[0])
        drawn = torch.from_numpy(canvas.transpose(2, 0, 1).copy())
        return (drawn if image.dtype == torch.uint8 else drawn.to(image.dtype) / 255), regions


def _in_place(
    image: Tensor, donor: Tensor, masks: Sequence[UInt8[np.ndarray, "h w"]], blur_sigma_px: float
) -> tuple[Tensor, list[Drawn]]:
    """The donor's pixels under the union of the masks; only the rectangle around it is touched."""
    regions = [_region(mask) for mask in masks]
    seen = [region for region in regions if region.mask.size]
    new = image.as_subclass(torch.Tensor).clone()
    if seen:
        cover = _union(seen)
        reach = math.ceil(3 * blur_sigma_px)
        height, width = image.shape[-2:]
        x0, y0 = max(cover.left - reach, 0), max(cover.top - reach, 0)
        x1, y1 = min(int(cover.box_px[2]) + reach, width), min(int(cover.box_px[3]) + reach, height)
        weight = np.zeros((y1 - y0, x1 - x0), np.uint8)
        weight[replace(cover, left=cover.left - x0, top=cover.top - y0).window] = cover.mask * np.uint8(255)
        if blur_sigma_px:
            weight = blurred(weight, blur_sigma_px)
        _mix(new[:, y0:y1, x0:x1], donor.as_subclass(torch.Tensor)[:, y0:y1, x0:x1], weight)
    return new, regions


def _mix(below: Tensor, above: Tensor, weight: UInt8[np.ndarray, "h w"]) -> None:
    """Below (1 - weight) + above, in place; bytes are rounded once."""
    if below.is_floating_point():
        below.lerp_(above, torch.from_numpy(weight).to(below.dtype) / 255)
        return
    rest = np.asarray(cv2.bitwise_not(weight))
    for plane, new in zip(below.numpy(), above.numpy(), strict=True):
        mixed = np.multiply(plane, rest, dtype=np.uint16)
        mixed += np.multiply(new, weight, dtype=np.uint16)
        plane[:] = cv2.convertScaleAbs(mixed, alpha=1 / 255)


def _joined(
    target: Target,
    given: Target,
    columns: Sequence[str],
    rows: Tensor,
    pasted: list[Drawn],
    size_px: tuple[int, int],
    min_visible: float,
) -> Target:
    """The image's own objects, less what is hidden, then the pasted ones, less what later ones hide."""
    own = _mask_bytes(target["masks"])
    every = torch.empty((len(own) + len(pasted), *size_px), dtype=torch.bool)
    masks = every.numpy().view(np.uint8)
    masks[: len(own)] = own
    masks[len(own) :] = 0
    boxes = torch.cat([_corners(target["boxes"]), torch.zeros(len(pasted), 4)]).numpy()
    for k, region in enumerate(pasted, len(own)):
        masks[k][region.window] = region.mask > 0
        boxes[k] = region.box_px
    cover = _union(pasted)
    above = [[cover]] * len(own) + [pasted[k + 1 :] for k in range(len(pasted))]
    keep = [_hide(*item, min_visible) for item in zip(masks, boxes, above, strict=True)]
    kept = torch.from_numpy(np.flatnonzero(keep))
    joined = dict(target)
    for key in columns:
        joined[key] = torch.cat([target[key], given[key][rows].to(target[key].dtype)])[kept]
    if "area" in columns:
        counted = [_area(masks[k], boxes[k]) for k in kept.tolist()]
        joined["area"] = torch.tensor(counted).to(target["area"].dtype)
    if len(kept) < len(keep):
        every = every[kept]
    every = every if target["masks"].dtype == torch.bool else every.view(torch.uint8).to(target["masks"].dtype)
    joined["masks"] = tv_tensors.wrap(every, like=target["masks"]) if _is_tv(target["masks"]) else every
    joined["boxes"] = _boxes_like(torch.from_numpy(boxes)[kept], target["boxes"], size_px)
    return joined


def _mask_bytes(masks: Tensor) -> UInt8[np.ndarray, "n h w"]:
    """0 and 1, without a copy where they are booleans."""
    plain = masks.as_subclass(torch.Tensor)
    return np.ascontiguousarray((plain if plain.dtype == torch.bool else plain > 0).numpy()).view(np.uint8)


def _area(mask: UInt8[np.ndarray, "h w"], box: Float32[np.ndarray, " 4"]) -> float:
    """Pixels of the mask; nothing of it is outside its box, give or take one."""
    x, y = max(int(box[0]) - 1, 0), max(int(box[1]) - 1, 0)
    return float(np.count_nonzero(mask[y : math.ceil(box[3]) + 1, x : math.ceil(box[2]) + 1]))


def _hide(
    mask: UInt8[np.ndarray, "h w"], box: Float32[np.ndarray, " 4"], above: Sequence[Drawn], min_visible: float
) -> bool:
    """Take what lies above off the mask, and the box with it; whether enough is left."""
    before = None
    for region in above:
        left, top, right, bottom = (int(edge) for edge in region.box_px)
        x0, y0 = max(left, int(box[0])), max(top, int(box[1]))
        x1, y1 = min(right, math.ceil(box[2])), min(bottom, math.ceil(box[3]))
        if x0 >= x1 or y0 >= y1:
            continue
        x, y, xx, yy = (math.ceil(edge) for edge in box)
        if before is None:
            before = int(np.count_nonzero(mask[max(y - 1, 0) : yy, max(x - 1, 0) : xx]))
        mask[y0:y1, x0:x1][region.mask[y0 - top : y1 - top, x0 - left : x1 - left] > 0] = 0
    if before is None:
        return True
    x, y, xx, yy = max(int(box[0]), 0), max(int(box[1]), 0), math.ceil(box[2]), math.ceil(box[3])
    part = np.ascontiguousarray(mask[y:yy, x:xx])
    dx, dy, width, height = cv2.boundingRect(part)
    box[:] = x + dx, y + dy, x + dx + width, y + dy + height
    left_over = int(np.count_nonzero(part))
    return left_over > 0 and left_over >= min_visible * before


def _union(regions: Sequence[Drawn]) -> Drawn:
    """All of them as one region."""
    edges = np.array([region.box_px for region in regions], dtype=np.int64)
    left, top = edges[:, :2].min(axis=0).tolist()
    right, bottom = edges[:, 2:].max(axis=0).tolist()
    mask = np.zeros((bottom - top, right - left), np.uint8)
    for region in regions:
        part = mask[replace(region, left=region.left - left, top=region.top - top).window]
        cv2.bitwise_or(part, region.mask, dst=part)
    return Drawn(left, top, mask, 0)


def _region(mask: UInt8[np.ndarray, "h w"]) -> Drawn:
    x, y, width, height = cv2.boundingRect(mask)
    tight = np.ascontiguousarray(mask[y : y + height, x : x + width])
    return Drawn(x, y, tight, int(np.count_nonzero(tight)))


def _cut_out(pixels: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "side side 4"]:
    """The object on a square patch that its longer side fills."""
    x, y, width, height = cv2.boundingRect(mask)
    side = max(width, height, 1)
    patch = np.zeros((side, side, 4), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    inside = slice(top, top + height), slice(left, left + width)
    patch[(*inside, slice(0, 3))] = pixels[y : y + height, x : x + width]
    patch[(*inside, 3)] = mask[y : y + height, x : x + width] * np.uint8(255)
    return patch


def _bytes(image: Tensor) -> UInt8[np.ndarray, "h w 3"]:
    plain = image.as_subclass(torch.Tensor)
    pixels = plain if plain.dtype == torch.uint8 else (plain.clamp(0, 1) * 255).round().to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())


def _corners(boxes: Tensor) -> Float[Tensor, "n 4"]:
    if isinstance(boxes, tv_tensors.BoundingBoxes):
        boxes = v2.functional.convert_bounding_box_format(boxes, new_format=tv_tensors.BoundingBoxFormat.XYXY)
    return boxes.as_subclass(torch.Tensor).float()


def _boxes_like(corners: Tensor, like: Tensor, size_px: tuple[int, int]) -> Tensor:
    if not isinstance(like, tv_tensors.BoundingBoxes):
        return corners.to(like.dtype)
    xyxy = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=size_px)
    changed: Tensor = v2.functional.convert_bounding_box_format(xyxy, new_format=like.format).to(like.dtype)
    return changed


def _is_tv(value: Tensor) -> bool:
    return isinstance(value, tv_tensors.TVTensor)


def _columns(targets: Sequence[Target], per_image: Sequence[str]) -> list[str]:
    """The entries beside masks and boxes that have one row an object, in every target."""
    names = dict.fromkeys(name for target in targets for name in target if name not in ("masks", "boxes", *per_image))
    return [name for name in names if _is_column(name, targets)]


def _is_column(name: str, targets: Sequence[Target]) -> bool:
    has = [k for k, target in enumerate(targets) if name in target]
    values = [(targets[k][name], len(targets[k]["boxes"])) for k in has]
    if not all(isinstance(value, Tensor) and value.ndim and len(value) == count for value, count in values):
        return False
    missing = sorted(set(range(len(targets))) - set(has))
    if missing:
        raise ShapeError(f"targets[{missing[0]}]: expected {name} as targets[{has[0]}] has it, got none")
    return True


def _check_moved(targets: Sequence[Target], columns: Sequence[str]) -> None:
    """Nothing but masks and boxes is moved."""
    for name in columns:
        if name == "keypoints" or any(_is_tv(target[name]) for target in targets):
            raise ShapeError(
                f"targets[0].{name}: expected none where objects are moved or scaled, got some; only masks and boxes follow"
            )


def _check_range(images: Sequence[Tensor]) -> None:
    """With poses, colours are drawn in bytes."""
    for k, image in enumerate(images):
        if image.is_floating_point() and image.numel():
            low, high = (float(edge) for edge in image.aminmax())
            if not 0 <= low <= high <= 1:
                raise ShapeError(
                    f"images[{k}]: expected floats in [0, 1] with poses, got {low:g} to {high:g}; "
                    "paste before images are normalised"
                )


def _check_settings(
    poses: PoseFamily | None, objects: tuple[int, int], blur_sigma_px: float, min_visible: float, p: float
) -> None:
    if poses is not None and not isinstance(poses, PoseFamily):
        raise RecipeError(f"poses: expected a pose family such as AffinePoses(...), or None, got {poses!r}")
    pair = isinstance(objects, Sequence) and len(objects) == 2 and all(isinstance(limit, int) for limit in objects)
    if not pair or not 0 <= objects[0] <= objects[1]:
        raise RecipeError(f"objects: expected the fewest and the most, integers >= 0, got {objects}")
    if not 0 <= blur_sigma_px < math.inf:
        raise RecipeError(f"blur_sigma_px: expected a number >= 0, got {blur_sigma_px}")
    for name, value in (("min_visible", min_visible), ("p", p)):
        if not 0 <= value <= 1:
            raise RecipeError(f"{name}: expected a number from 0 to 1, got {value}")


def _check(images: Sequence[Tensor], targets: Sequence[Target]) -> None:
    if len(images) != len(targets):
        raise ShapeError(f"targets: expected one an image, {len(images)}, got {len(targets)}")
    for k, (image, target) in enumerate(zip(images, targets, strict=True)):
        _check_tensor(f"images[{k}]", image)
        if image.dtype != images[0].dtype or not (image.dtype == torch.uint8 or image.is_floating_point()):
            raise ShapeError(f"images[{k}]: expected uint8 or float, the same in the whole batch, got {image.dtype}")
        if image.ndim != 3 or image.shape[0] != 3:
            raise ShapeError(f"images[{k}]: expected RGB of shape (3, height, width), got {tuple(image.shape)}")
        missing = [key for key in ("masks", "boxes", "labels") if key not in target]
        if missing:
            raise ShapeError(f"targets[{k}]: expected masks, boxes and labels, got none named {', '.join(missing)}")
        for name in ("masks", "boxes", "labels"):
            _check_tensor(f"targets[{k}].{name}", target[name])
        if target["labels"].shape[:1] != target["boxes"].shape[:1]:
            got = tuple(target["labels"].shape)
            raise ShapeError(f"targets[{k}].labels: expected one a box, {len(target['boxes'])}, got the shape {got}")
        if target["masks"].shape != (len(target["boxes"]), *image.shape[-2:]):
            expected = (len(target["boxes"]), *image.shape[-2:])
            got = tuple(target["masks"].shape)
            raise ShapeError(f"targets[{k}].masks: expected the shape {expected} of its boxes and image, got {got}")


def _check_tensor(where: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise ShapeError(f"{where}: expected a tensor, got {type(value).__name__}")
    if value.device.type != "cpu":
        raise ShapeError(
            f"{where}: expected a tensor on the CPU, got one on {value.device}; paste before it goes there"
        )
