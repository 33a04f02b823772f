"""The targets that the contract suites try: one line each, and a kind without a line is a failed test."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from terse import registry
from terse.types import Truth

CLASSES = ("square", "ring")


@dataclass(frozen=True)
class Subject:
    """A registered kind, the smallest images that it takes, and the settings that make it small."""

    kind: str
    task: str
    size_px: int = 64
    channels: int = 3
    settings: Mapping[str, Any] = field(default_factory=dict)
    heavy: bool = False  # in the slow tests only
    large: bool = False  # runs of it are in the slow tests only
    run: tuple[str, ...] = ()  # overrides of its task's recipe in a miniature run
    silent: tuple[str, ...] = ()  # beginnings of parameters that the loss of two images need not reach
    name: str = ""  # of one of several subjects of a kind
    smooth: bool = True  # False: the loss holds places fixed that pixels and weights move, and picks anew among them

    def __hash__(self) -> int:
        return hash((self.kind, self.size_px, self.name))


def _detector(kind: str, size_px: int = 64, **more: Any) -> Subject:
    return Subject(kind, "detection", size_px, settings={"image_size_px": size_px}, **more)


def _segmenter(kind: str, **more: Any) -> Subject:
    return Subject(kind, "segmentation", **more)


def _hugging_face(name: str, silent: tuple[str, ...] = (), *, smooth: bool = True, **config: Any) -> Subject:
    settings = {"config": {"model_type": name, **config}}
    return Subject("huggingface", "detection", settings=settings, silent=silent, name=name, smooth=smooth)


def _resnet(kind: str, *stages: int) -> dict[str, Any]:
    """A backbone of transformers with a block in each of four stages, of which some are looked at."""
    features = [f"stage{stage}" for stage in stages]
    tiny = {"embedding_size": 8, "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1], "layer_type": "basic"}
    return {"model_type": kind, "out_features": features, **tiny}


_DETR = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
_DETR |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "num_queries": 6, "dropout": 0.0}
_PYRAMID = {
    **{key: value for key, value in _DETR.items() if key != "encoder_layers"},
    "backbone_config": _resnet("rt_detr_resnet", 2, 3, 4),
    "encoder_in_channels": [12, 16, 24],
    "encoder_hidden_dim": 16,
    "decoder_in_channels": [16, 16, 16],
    "freeze_backbone_batch_norms": False,
    "num_denoising": 4,
    "decoder_n_points": 2,
    "decoder_layers": 2,
    "initializer_range": 0.2,
}
_YOLOS = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
_YOLOS |= {"image_size": [64, 64], "num_detection_tokens": 6, "use_mid_position_embeddings": False}

JUDGES_ONLY = ("onnx",)  # black boxes, tried in tests of their own

_TEN = ("target.settings.outputs=10",)  # digits

SUBJECTS: tuple[Subject, ...] = (
    Subject("mnist_classifier", "classification", 40, 1),
    Subject("mnist_classifier_deep", "classification", 40, 1),
    Subject("user", "classification", 40, 1, {"factory": "target_subjects:own_classifier"}, run=_TEN),
    Subject("torchvision_classifier", "classification", 64, 1, {"model": "mobilenet_v3_small"}, large=True),
    Subject("timm", "classification", 64, 1, {"model": "test_resnet", "settings": {"zero_init_last": False}}),
    # The first layer's queries are 0 at the start, so its attention has nothing to weigh.
    _hugging_face("detr", silent=("model.decoder.layers.0.self_attn",), backbone_config=_resnet("resnet", 4), **_DETR),
    _hugging_face("yolos", **_YOLOS),
    _hugging_face("rt_detr", ("model.decoder.bbox_embed.", "model.decoder.class_embed."), smooth=False, **_PYRAMID),
    _hugging_face("d_fine", ("model.decoder.bbox_embed.", "model.decoder.lqe_layers."), smooth=False, **_PYRAMID),
    _detector("fasterrcnn_mobilenet_v3_large_320_fpn", large=True),
    _detector("fasterrcnn_resnet50_fpn", heavy=True, large=True),  # the one above differs in its body alone
    _detector("fcos_resnet50_fpn", large=True),
    _detector("retinanet_resnet50_fpn", large=True),
    # SSD's heads each learn objects of one size, and scale_weight feeds the first alone. VGG takes no image below 272 px:
    # seconds for each gradient.
    _detector("ssd300_vgg16", 272, heavy=True, silent=("head.", "backbone.scale_weight")),
    _detector("ssd_small", silent=("head.",)),
    _detector("ssdlite320_mobilenet_v3_large", silent=("head.",)),
    _detector("ssdlite_mobilenet_v2", silent=("head.",)),
    replace(_detector("maskrcnn_mobilenet_v3_large_fpn", large=True), task="instances"),
    replace(_detector("maskrcnn_resnet50_fpn", heavy=True, large=True), task="instances"),
    *(
        Subject(
            "regressor",
            "regression",
            settings={"quantity": quantity, "backbone": "mobilenet_v3_small"},
            name=f"regressor-{quantity}",
        )
        for quantity in ("centre", "keypoints", "angle")
    ),
    _segmenter("deeplabv3_mobilenet_v3_large", large=True),
    _segmenter("deeplabv3_resnet50", heavy=True, large=True),  # as above
    _segmenter("fcn_resnet50", large=True),
    _segmenter("lraspp_mobilenet_v3_large"),
    _segmenter("smp", settings={"encoder": "resnet18", "settings": {"decoder_channels": [32, 16, 16, 8, 8]}}),
)


def targets(
    *tasks: str, runs: bool = False, smooth: bool = False, by_default: Sequence[str] = (), left_out: Sequence[str] = ()
) -> pytest.MarkDecorator:
    """Each target of these tasks, or of all; the heavy ones in the slow tests only.

    Where one test is too long to try all by default, `by_default` names those that stay, or `left_out` the others.
    """

    def marks(one: Subject) -> list[pytest.MarkDecorator]:
        name = one.name or one.kind
        slow = name in left_out or (bool(by_default) and name not in by_default)
        return [pytest.mark.slow] if slow or one.heavy or (one.large and runs) else []

    chosen = [one for one in SUBJECTS if (not tasks or one.task in tasks) and (one.smooth or not smooth)]
    return pytest.mark.parametrize(
        "subject", [pytest.param(one, id=one.name or one.kind, marks=marks(one)) for one in chosen]
    )


def own_classifier(outputs: int = len(CLASSES)) -> nn.Module:
    """What a user's factory may return."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(4 * 36**2, outputs)
    )


def built(subject: Subject, classes: Sequence[str] = CLASSES) -> Any:
    """The target, with random weights of seed 0."""
    torch.manual_seed(0)
    config: Any = registry.lookup("target", subject.kind)
    target = config(**subject.settings).build(classes=tuple(classes), canvas_px=subject.size_px)
    for name, part in target.module.named_parameters():
        if name.endswith("detection_tokens"):  # all 0, so that queries are alike and any matching is the best
            nn.init.normal_(part, std=0.5)
    return target


@cache
def prepared(subject: Subject) -> Any:
    """The target after BatchNorm has seen one batch: with its first statistics an untrained MobileNet answers the same
    to every image."""
    target = built(subject)
    norms = [part for part in target.module.modules() if isinstance(part, nn.BatchNorm2d)]
    before = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    if norms:
        images, truth = seen_by(subject)
        with torch.no_grad():
            target.train_loss(torch.rand(6, *images.shape[1:]), truth.take([0, 1, 0, 1, 0, 1]))
    for norm, momentum in zip(norms, before, strict=True):
        norm.momentum = momentum
    return target


def doubled(subject: Subject) -> Any:
    """A copy of the prepared target in float64."""
    target = copy.deepcopy(prepared(subject))
    target.module.double()
    return target


@contextmanager
def in_float64() -> Iterator[None]:
    """What networks make inside a call, such as anchors and class weights, is float64 as well."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def scene(size_px: int) -> tuple[Tensor, Truth]:
    """Two images: an own and a pasted object, two pasted ones."""
    images = torch.rand(2, 3, size_px, size_px, generator=torch.Generator().manual_seed(1))
    boxes = torch.tensor([[2.0, 2, 20, 30], [5, 6, 40, 50], [10, 10, 30, 35], [20, 5, 60, 60]]) * size_px / 64
    labels = torch.tensor([1, 0, 1, 0])
    pasted = torch.tensor([False, True, True, True])
    return images, Truth(labels, boxes, torch.tensor([0, 0, 1, 1]), pasted, torch.zeros(4, dtype=torch.bool), 2)


def seen_by(subject: Subject) -> tuple[Tensor, Truth]:
    """Images that a target takes, and what is pasted in them: as many objects as its task allows."""
    images, truth = scene(subject.size_px)
    return images[:, : subject.channels], as_task(subject, truth)


def as_task(subject: Subject, truth: Truth) -> Truth:
    """The truth with what the target's task needs, and nothing that it does not allow."""
    if subject.task == "classification":
        return _one_an_image(truth)
    if subject.task == "regression":
        one = _one_an_image(truth)
        corners = torch.cat([one.boxes_px.reshape(-1, 2, 2), torch.full((len(one.labels), 2, 1), 2.0)], dim=2)
        return replace(one, keypoints=corners)
    if subject.task in ("segmentation", "instances"):
        return replace(truth, masks=_ovals(truth.boxes_px, subject.size_px))
    return truth


def _one_an_image(truth: Truth) -> Truth:
    """The first pasted object of each image."""
    rows = [int((truth.pasted & (truth.image_index == i)).nonzero()[0]) for i in range(truth.batch_size)]
    fields = ("labels", "boxes_px", "image_index", "pasted", "ignore")
    return replace(truth, **{name: getattr(truth, name)[rows] for name in fields})


def _ovals(boxes_px: Tensor, size_px: int) -> Tensor:
    """Masks that fill the boxes but for their corners; the later object lies above."""
    at = torch.arange(size_px) + 0.5
    x0, y0, x1, y1 = (column[:, None] for column in boxes_px.float().unbind(1))
    across, down = ((2 * at - low - high) / (high - low) for low, high in ((x0, x1), (y0, y1)))
    return across[:, None, :] ** 2 + down[:, :, None] ** 2 < 1.5
