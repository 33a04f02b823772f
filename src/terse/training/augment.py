"""The target's training augmentation, alike for real and synthetic images: flips, crops and light, or SSD's own."""

from dataclasses import replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torchvision import tv_tensors
from torchvision.transforms import v2

from terse.colour import Light, blurred, relit
from terse.training.ranks import Share
from terse.types import Truth

__all__ = ["augmented", "flip_and_crop", "relight", "ssd_augmentation"]

_SMALLEST = 0.5  # side of a crop over the image's
_MEAN = (0.48235, 0.45882, 0.40784)  # what SSD's VGG subtracts; an expanded image stands on it
_KEPT = 0.3  # share of a box's area that must stay in the crop for the object to count

# Half the width of each range; factors are drawn evenly in their logarithm.
_EXPOSURE, _GAMMA, _CONTRAST, _SATURATION, _TINT = 0.6, 0.4, 0.3, 0.5, 0.15
_BLUR_PX, _NOISE, _VIGNETTE = 1.5, 0.04, 0.3  # the most of each
_BLUR_RATE, _NOISE_RATE = 0.33, 0.33  # share of the images that get any; the other changes meet each image


def relight(
    images: Float[Tensor, "b c h w"], generator: torch.Generator, share: Share | None = None
) -> Float[Tensor, "b c h w"]:
    """Each image in other light, at times blurred or noisy: exposure, gamma, contrast, tint, saturation, vignette.

    What is drawn is drawn for the whole batch, of which the images are a share.

    Source: ours; colour distortion as in Howard 2013, which SSD's augmentation (Liu et al. 2016) has too.
    """
    share = share or Share.of_all(len(images))
    rows, channels = torch.from_numpy(share.rows), images.shape[1]
    of_batch = torch.rand(10, share.total, generator=generator)
    unit = of_batch[:, rows]
    signed = 2 * unit - 1
    tint = torch.rand(share.total, channels, generator=generator)[rows] * 2 - 1

    def factor(row: int, half: float) -> Tensor:
        return torch.exp(half * signed[row]).to(images.device)

    light = Light(
        gamma=factor(0, _GAMMA),
        tint=torch.exp(_TINT * tint).to(images.device),
        saturation=factor(1, _SATURATION),
        contrast=factor(2, _CONTRAST),
        exposure=factor(3, _EXPOSURE),
        vignette=(_VIGNETTE * unit[4]).to(images.device),
    )
    sigma = torch.where(unit[5] < _BLUR_RATE, _BLUR_PX * unit[6], 0.0)
    out = blurred(relit(images, light), sigma.to(images.device))
    noisy_of_batch = torch.nonzero(of_batch[7] < _NOISE_RATE).flatten()
    noisy = torch.nonzero(unit[7] < _NOISE_RATE).flatten()
    drawn = torch.randn(len(noisy_of_batch), *images.shape[1:], generator=generator)
    drawn = drawn[torch.searchsorted(noisy_of_batch, rows[noisy])]
    grain = drawn * (_NOISE * unit[8, noisy])[:, None, None, None]
    chosen = noisy.to(images.device)
    return out.index_copy(0, chosen, (out[chosen] + grain.to(images.device)).clamp(0, 1))


def augmented(
    kind: bool | Literal["ssd"],
    images: Float[Tensor, "b c h w"],
    truth: Truth,
    generator: torch.Generator,
    share: Share | None = None,
) -> tuple[Float[Tensor, "b c h w"], Truth]:
    """The images as a recipe's `augment` wants them; they are a share of a batch.

    Source: ours.
    """
    if kind == "ssd":
        return ssd_augmentation(images, truth, generator, share)
    return flip_and_crop(images, truth, generator, share) if kind else (images, truth)


def flip_and_crop(
    images: Float[Tensor, "b c h w"], truth: Truth, generator: torch.Generator, share: Share | None = None
) -> tuple[Float[Tensor, "b c h w"], Truth]:
    """Mirror half of the images and cut half of them to a random part, resized back.

    An object of which less than 30 % is left in its crop is ignored. Images with keypoints are not mirrored, because
    a left eye would become a right one. What is drawn is drawn for the whole batch, of which the images are a share.

    Source: ours; two parts of SSD's own augmentation.
    """
    batch, _, height, width = images.shape
    share = share or Share.of_all(batch)
    unit = torch.rand(5, share.total, generator=generator)[:, torch.from_numpy(share.rows)]
    side = torch.where(unit[0] < 0.5, _SMALLEST + (1 - _SMALLEST) * unit[1], 1.0)
    left, top = unit[2] * (1 - side), unit[3] * (1 - side)
    mirror = torch.where((unit[4] < 0.5) & torch.tensor(truth.keypoints is None), -1.0, 1.0)
    zero = torch.zeros(batch)
    matrix = torch.stack(
        [
            torch.stack([mirror * side, zero, 2 * left + side - 1], dim=-1),
            torch.stack([zero, side, 2 * top + side - 1], dim=-1),
        ],
        dim=1,
    ).to(images.device)
    grid = functional.affine_grid(matrix, [batch, 1, height, width], align_corners=False)
    out = functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    k = truth.image_index.cpu()
    scale = torch.tensor([width, height, width, height], dtype=torch.float32)
    box = truth.boxes_px.cpu() / scale
    x = (box[:, 0::2] - left[k, None]) / side[k, None]
    y = (box[:, 1::2] - top[k, None]) / side[k, None]
    x = torch.where(mirror[k, None] < 0, 1 - x.flip(1), x)
    whole = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0])
    x, y = x.clamp(0, 1), y.clamp(0, 1)
    kept = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0]) / whole.clamp(min=1e-9)
    boxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1) * scale
    ignore = truth.ignore | (kept < _KEPT).to(truth.ignore.device)
    masks, points = truth.masks, truth.keypoints
    if masks is not None and len(masks):
        cut = functional.grid_sample(masks[:, None].float().to(grid), grid[k.to(grid.device)], align_corners=False)
        masks = (cut[:, 0] > 0.5).to(masks.device)
    if points is not None:
        points = _cropped(points, scale[:2].to(points), *(t[k, None].to(points) for t in (left, top, side)))
    moved = replace(truth, boxes_px=boxes.to(truth.boxes_px.device), ignore=ignore, masks=masks, keypoints=points)
    return out, moved


def _cropped(points: Tensor, size_px: Tensor, left: Tensor, top: Tensor, side: Tensor) -> Tensor:
    """Keypoints in the pixels of crops that were resized to the image's size; those outside are not annotated."""
    corner = torch.stack([left, top], dim=-1)
    place = (points[..., :2] / size_px - corner) / side[..., None]
    inside = ((place >= 0) & (place < 1)).all(dim=-1) & (points[..., 2] > 0)
    return torch.where(inside[..., None], torch.cat([place * size_px, points[..., 2:]], dim=-1), 0.0)


def ssd_augmentation(
    images: Float[Tensor, "b c h w"], truth: Truth, generator: torch.Generator, share: Share | None = None
) -> tuple[Float[Tensor, "b c h w"], Truth]:
    """Each image distorted, expanded on a mean colour, cut to a part that overlaps an object by a sampled IoU, mirrored.

    Objects whose centre a crop leaves out are gone, as in SSD. Torchvision draws from the global generator, which is
    put back. How much an image takes of it depends on what it holds, so that shares of a batch draw for themselves: the
    law is the same, the draws are not.

    Source: Liu et al. 2016, sections 2.2 and 3.6, by torchvision's transforms.
    """
    height, width = images.shape[-2:]
    transform = v2.Compose(
        [
            v2.RandomPhotometricDistort(),
            v2.RandomZoomOut(fill=list(_MEAN)),
            v2.RandomIoUCrop(),
            v2.RandomHorizontalFlip(),
            v2.Resize((height, width)),
            v2.ClampBoundingBoxes(),
            v2.SanitizeBoundingBoxes(min_size=1.0),
        ]
    )
    made, boxes, rows, index = [], [], [], []
    with torch.random.fork_rng(devices=[]):
        seed = int(torch.randint(2**62, (1,), generator=generator))
        torch.manual_seed(seed if share is None else seed ^ share.number)
        for number, image in enumerate(images.cpu()):
            mine = (truth.image_index == number).nonzero().flatten().cpu()
            box: Any = tv_tensors.BoundingBoxes(truth.boxes_px.cpu()[mine], format="XYXY", canvas_size=(height, width))
            drawn = transform({"image": tv_tensors.Image(image), "boxes": box, "labels": mine})
            made.append(drawn["image"].as_subclass(Tensor))
            boxes.append(drawn["boxes"].as_subclass(Tensor).float())
            rows.append(drawn["labels"])
            index.append(torch.full_like(drawn["labels"], number))
    kept = torch.cat(rows).to(truth.labels.device)
    moved = Truth(
        truth.labels[kept],
        torch.cat(boxes).to(truth.boxes_px),
        torch.cat(index).to(truth.image_index),
        truth.pasted[kept],
        truth.ignore[kept],
        truth.batch_size,
    )
    return torch.stack(made).to(images).clamp(0, 1), moved
