"""YOLO's pose labels: a box and the keypoints of each object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from terse.errors import DataError
from terse.export.sample import ExportConfig, Labelled, SetInfo, keypoints_of
from terse.export.yolo import YoloWriter, box_numbers, label_line, names_of, places
from terse.registry import register

if TYPE_CHECKING:
    from terse.sources.annotations import Skeleton

__all__ = ["YoloPoseExporter"]


@register("exporter", "yolo_pose")
class YoloPoseExporter(ExportConfig):
    """Class, box, then x, y and visibility of each keypoint; coordinates are fractions of the image's size.

    `data.yaml` has `kpt_shape`, and `flip_idx` where the source names its keypoints.

    An object without keypoints has zeros, which trainers pass over. Objects to ignore are left out.
    """

    kind: Literal["yolo_pose"] = "yolo_pose"
    shard_images: ClassVar[int] = 128
    val_folder: ClassVar[str] = "val/"
    image_folder: ClassVar[str] = "images/"
    mask_forms: ClassVar[tuple[str, ...]] = ("box",)

    def shard(self, out: Path, part: Path, info: SetInfo, number: int) -> YoloWriter:
        """A writer of one shard.

        Raises:
            DataError: the sources have no keypoints.
        """
        return YoloWriter(out, info, partial(_line, skeleton=_skeleton(info)))

    def assemble(self, out: Path, parts: Sequence[Path], info: SetInfo) -> None:
        """Write `data.yaml`, which trainers read first."""
        if info.split != "train":
            return
        skeleton = _skeleton(info)
        mirrored = skeleton.mirrored()
        flip = "" if mirrored is None else f"flip_idx: {list(mirrored)}\n"
        text = f"{places(info, self.val_folder)}kpt_shape: [{skeleton.count}, 3]\n{flip}{names_of(info.classes)}"
        (out / "data.yaml").write_text(text, "utf-8")


def _skeleton(info: SetInfo) -> Skeleton:
    if info.skeleton is None:
        raise DataError(
            "format: expected sources whose objects have keypoints, the same number each, for yolo_pose, got none; "
            "choose yolo"
        )
    return info.skeleton


def _line(item: Labelled, size_px: tuple[int, int], skeleton: Skeleton) -> str:
    width, height = size_px
    points = [number for x, y, seen in keypoints_of(item, skeleton) for number in (x / width, y / height, seen)]
    return label_line(item.label, [*box_numbers(item, size_px), *points])
