"""Semantic segmentation: torchvision's networks by name, those of segmentation-models-pytorch, and any module like them."""
