"""What is known of a network's outputs by their number: those of the public sets that torchvision's models are trained on."""

from __future__ import annotations

__all__ = ["numbers_by_name"]


def numbers_by_name(outputs: int) -> dict[str, int]:
    """The number of each class by its name, in small letters, where so many outputs are COCO's 91 or VOC's 21; else none."""
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights
    from torchvision.models.segmentation import DeepLabV3_ResNet50_Weights

    coco: list[str] = FasterRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    voc: list[str] = DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1.meta["categories"]
    for names in (coco, voc):
        if len(names) == outputs:
            return {name.casefold(): number for number, name in enumerate(names)}
    return {}
