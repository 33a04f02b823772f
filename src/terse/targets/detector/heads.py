"""What torchvision's detectors answer before suppression: per anchor (SSD, RetinaNet, FCOS) or per proposal (R-CNN).

Two questions are asked of each: which outputs belong to these boxes, and what is predicted at all. Nothing here
samples, and each image is matched by itself, so an answer does not depend on the rest of the batch.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import pad
from torchvision.models.detection import FCOS, RetinaNet
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_iou, clip_boxes_to_image

from terse.errors import TerseError
from terse.targets.overlaps import Predictions

__all__ = ["Heads", "Matched", "heads_of"]

_MATCH_IOU = 0.5  # paper 3.2


class Matched(NamedTuple):
    """The outputs that answer for some boxes, and what they should have said; flat over pairs."""

    logits: Float[Tensor, "pairs columns"]
    codes: Float[Tensor, "pairs 4"]  # box regression as the detector encodes it
    wanted: Float[Tensor, "pairs 4"]  # the box in that code
    box: Int64[Tensor, " pairs"]  # which of the boxes the pair is about
    masks: Float[Tensor, "pairs m m"] | None = (
        None  # logits of the class's mask inside the place, where there is a head
    )
    places_px: Float[Tensor, "pairs 4"] | None = None  # in pixels of the image that was given


@runtime_checkable
class Heads(Protocol):
    """One family of detectors."""

    sigmoid: bool  # scores are sigmoids of their own, uncalibrated; else softmax with background in column 0

    def match(
        self,
        images: Float[Tensor, "b c h w"],
        boxes_px: Float[Tensor, "n 4"],
        image_index: Int64[Tensor, " n"],
        columns: Int64[Tensor, " n"],
    ) -> Matched:
        """The outputs matched to each box; differentiable in the pixels, boxes and matches held fixed."""
        ...

    def predict(self, images: Float[Tensor, "b c h w"]) -> Iterator[Predictions]:
        """What is predicted, image by image."""
        ...


def heads_of(module: nn.Module, *, masks: bool = False) -> Heads:
    """The heads of a torchvision detector, or of a subclass; one with a mask head where masks are wanted.

    Raises:
        TerseError: the module is none, or has outputs besides boxes.
    """
    if isinstance(module, (SSD, RetinaNet, FCOS)):
        return _AnchorHeads(module)
    needs = ("box_roi_pool", "box_head", "box_predictor", "box_coder")
    roi_heads: Any = getattr(module, "roi_heads", None)
    if isinstance(module, GeneralizedRCNN) and all(hasattr(roi_heads, name) for name in needs):
        if (roi_heads.has_mask() and not masks) or roi_heads.has_keypoint():
            raise TerseError(
                f"target: expected a detector of boxes alone, got {type(module).__name__} with a mask or keypoint "
                "head; set roi_heads.mask_roi_pool and roi_heads.keypoint_roi_pool to None"
            )
        return _ProposalHeads(module)
    raise TerseError(
        "target: expected a torchvision GeneralizedRCNN, SSD, RetinaNet or FCOS, "
        f"got {type(module).__name__}; return an object with module, train_loss, evidence, confidence "
        "and predict (terse.protocols.Target) for any other detector"
    )


class _AnchorHeads:
    def __init__(self, module: Any) -> None:
        self.module = module
        self.sigmoid = isinstance(module, (RetinaNet, FCOS))
        self._anchors: dict[Any, Tensor] = {}

    def match(
        self,
        images: Float[Tensor, "b c h w"],
        boxes_px: Float[Tensor, "n 4"],
        image_index: Int64[Tensor, " n"],
        columns: Int64[Tensor, " n"],
    ) -> Matched:
        listed, outputs, anchors = self._forward(images)
        boxes = boxes_px * _scale(images, listed)
        points = isinstance(self.module, FCOS)
        radius = self.module.center_sampling_radius if points else 0.0
        quality = _point_quality(boxes, anchors, radius) if points else box_iou(boxes, anchors)
        chosen = quality > _MATCH_IOU
        best = torch.zeros_like(chosen).scatter_(1, quality.argmax(1, keepdim=True), value=True)
        chosen |= best & ~chosen.any(1, keepdim=True)
        box, anchor = chosen.nonzero(as_tuple=True)
        image = image_index[box]
        coder = self.module.box_coder
        of_box, of_anchor = boxes[box], anchors[anchor]
        wanted = coder.encode(of_anchor, of_box) if points else coder.encode_single(of_box, of_anchor)
        return Matched(outputs["cls_logits"][image, anchor], outputs["bbox_regression"][image, anchor], wanted, box)

    def predict(self, images: Float[Tensor, "b c h w"]) -> Iterator[Predictions]:
        listed, outputs, anchors = self._forward(images)
        logits = outputs["cls_logits"]
        scores = logits.sigmoid() if self.sigmoid else logits.softmax(-1)
        if isinstance(self.module, FCOS):
            scores = (scores * outputs["bbox_ctrness"].sigmoid()).sqrt()
        coder = self.module.box_coder
        decode = coder.decode if isinstance(self.module, FCOS) else coder.decode_single
        scale = _scale(images, listed)
        for codes, score, size in zip(outputs["bbox_regression"], scores, listed.image_sizes, strict=True):
            boxes = clip_boxes_to_image(decode(codes, anchors), size)
            yield Predictions((boxes / scale)[:, None], score)

    def _forward(self, images: Tensor) -> tuple[ImageList, dict[str, Tensor], Tensor]:
        listed = _listed(self.module, images)
        features = list(_features(self.module, listed).values())
        outputs = self.module.head(features)
        # Anchors depend on sizes alone; making them anew for each image of each batch costs more than matching.
        key = (listed.tensors.shape[-2:], listed.image_sizes[0], images.device)
        if key not in self._anchors:
            one = ImageList(listed.tensors[:1], listed.image_sizes[:1])
            self._anchors[key] = self.module.anchor_generator(one, features)[0]
        return listed, outputs, self._anchors[key]


class _ProposalHeads:
    sigmoid = False

    def __init__(self, module: Any) -> None:
        self.module = module

    def match(
        self,
        images: Float[Tensor, "b c h w"],
        boxes_px: Float[Tensor, "n 4"],
        image_index: Int64[Tensor, " n"],
        columns: Int64[Tensor, " n"],
    ) -> Matched:
        listed, features, proposals = self._propose(images)
        boxes = boxes_px * _scale(images, listed)
        chosen, box = [], []
        for number, proposed in enumerate(proposals):
            mine = (image_index == number).nonzero().flatten()
            # The boxes themselves are proposals too, as in torchvision's training: a match always exists.
            candidates = torch.cat([proposed, boxes[mine]])
            row, candidate = (box_iou(boxes[mine], candidates) > _MATCH_IOU).nonzero(as_tuple=True)
            chosen.append(candidates[candidate])
            box.append(mine[row])
        joined = torch.cat(box)
        logits, codes = self._classify(features, chosen, listed)
        column = columns[joined].clamp(max=codes.shape[1] - 1)  # one code for all classes, or one a class
        codes = codes[torch.arange(len(joined), device=codes.device), column]
        wanted = self.module.roi_heads.box_coder.encode_single(boxes[joined], torch.cat(chosen))
        if not self.module.roi_heads.has_mask():
            return Matched(logits, codes, wanted, joined)
        heads = self.module.roi_heads
        shapes = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, chosen, listed.image_sizes)))
        shapes = shapes[torch.arange(len(joined), device=codes.device), columns[joined]]
        places = torch.cat(chosen) / _scale(images, listed)
        return Matched(logits, codes, wanted, joined, shapes, places)

    def predict(self, images: Float[Tensor, "b c h w"]) -> Iterator[Predictions]:
        listed, features, proposals = self._propose(images)
        logits, codes = self._classify(features, proposals, listed)
        counts = [len(proposed) for proposed in proposals]
        boxes = self.module.roi_heads.box_coder.decode_single(codes.flatten(1), torch.cat(proposals))
        scale = _scale(images, listed)
        parts = zip(
            torch.split(boxes, counts), torch.split(logits.softmax(-1), counts), listed.image_sizes, strict=True
        )
        for part, score, size in parts:
            yield Predictions(clip_boxes_to_image(part.reshape(len(part), codes.shape[1], 4), size) / scale, score)

    def _propose(self, images: Tensor) -> tuple[ImageList, dict[str, Tensor], list[Tensor]]:
        listed = _listed(self.module, images)
        features = _features(self.module, listed)
        with torch.no_grad():
            proposals, _ = self.module.rpn(listed, {name: part.detach() for name, part in features.items()})
        return listed, features, proposals

    def _classify(self, features: dict[str, Tensor], boxes: list[Tensor], listed: ImageList) -> tuple[Tensor, Tensor]:
        roi_heads = self.module.roi_heads
        pooled = roi_heads.box_roi_pool(features, boxes, listed.image_sizes)
        logits, codes = roi_heads.box_predictor(roi_heads.box_head(pooled))
        return logits, codes.reshape(len(codes), codes.shape[1] // 4, 4)


def _listed(module: Any, images: Tensor) -> ImageList:
    """What the module's own transform makes of the images.

    An image of the detector's size is resized to itself there, one by one: forward and backward of that is 8 % of
    an attack on SSDLite, so such batches are normalised and padded in one go.
    """
    transform = module.transform
    height, width = images.shape[-2:]
    kept = (
        transform.fixed_size == (width, height)
        if transform.fixed_size
        else (height == width == transform.min_size[-1] == transform.max_size)
    )
    if type(transform) is not GeneralizedRCNNTransform or not kept:
        listed: ImageList = transform(list(images))[0]
        return listed
    mean, std = (
        torch.tensor(values, device=images.device)[:, None, None]
        for values in (transform.image_mean, transform.image_std)
    )
    step = transform.size_divisible
    padded = pad((images - mean) / std, (0, -width % step, 0, -height % step))
    return ImageList(padded, [(height, width)] * len(images))


def _features(module: Any, listed: ImageList) -> dict[str, Tensor]:
    features = module.backbone(listed.tensors)
    return OrderedDict([("0", features)]) if isinstance(features, Tensor) else features


def _scale(images: Tensor, listed: ImageList) -> Float[Tensor, " 4"]:
    """From pixels of the given images, which are of one size, to pixels of what the network sees."""
    height, width = listed.image_sizes[0]
    x, y = width / images.shape[-1], height / images.shape[-2]
    return torch.tensor([x, y, x, y], device=images.device)


def _point_quality(boxes: Float[Tensor, "n 4"], anchors: Float[Tensor, "a 4"], radius: float) -> Float[Tensor, "n a"]:
    """1 where FCOS makes a point answer for a box; else at most 0.5, and more the nearer its centre.

    FCOS has points, not anchor boxes, so IoU says nothing: a point answers if it is near the box's centre and the
    box's farthest side is within its level's range (Tian et al. 2019; radius and ranges as torchvision trains).
    """
    size = anchors[:, 2] - anchors[:, 0]
    centre = (anchors[:, :2] + anchors[:, 2:]) / 2
    offset = (centre[None] - ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]).abs().amax(-1) / size
    sides = torch.cat([centre[None] - boxes[:, None, :2], boxes[:, None, 2:] - centre[None]], dim=-1)
    reach = sides.amax(-1)
    lower = torch.where(size == size.min(), 0.0, 4 * size)
    upper = torch.where(size == size.max(), torch.inf, 8 * size)
    in_range = (reach > lower) & (reach < upper)
    answers = in_range & (sides.amin(-1) > 0) & (offset < radius)
    return torch.where(answers, 1.0, in_range * 0.5 / (1 + offset))
