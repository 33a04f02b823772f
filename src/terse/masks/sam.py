"""Masks by a SAM-family model through `transformers`, from weights on this machine (Kirillov et al. 2023)."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from terse.errors import DataError, MissingExtra
from terse.masks.score import Box

__all__ = ["Sam"]

_BOXES = 32  # of one pass through the mask decoder


@dataclass(frozen=True)
class Sam:
    """A folder that `save_pretrained` wrote: a model for mask generation, and the processor beside it.

    Nothing is downloaded, and no code of the folder is run.
    """

    model: Path
    device: str = field(default="cpu", compare=False)

    def check(self) -> None:
        """Read the model's configuration, before any worker begins.

        Raises:
            MissingExtra: transformers is not installed.
            DataError: no such model.
        """
        transformers = _transformers()
        if not self.model.is_dir():
            raise DataError(
                f"--model: expected the folder of a SAM-family model, got {'a file' if self.model.exists() else 'nothing'} "
                f"at {self.model}; download one on a machine that can, and copy the folder"
            )
        try:
            kind = transformers.AutoConfig.from_pretrained(self.model, local_files_only=True).model_type
        except (OSError, ValueError) as error:
            raise DataError(
                f"--model: expected the folder of a SAM-family model, got {self.model}: {_first_line(error)}"
            ) from None
        if "sam" not in kind and kind != "edgetam":
            raise DataError(f"--model: expected a SAM-family model, got one of the kind {kind!r} in {self.model}")

    def cut(self, image: UInt8[np.ndarray, "h w 3"], boxes_px: Sequence[Box]) -> list[Bool[np.ndarray, "h w"]]:
        """The mask of each box; the image is embedded once.

        Raises:
            DataError: the folder's weights cannot be read.
        """
        import torch

        model, processor = self._loaded
        masks: list[np.ndarray] = []
        with torch.inference_mode():
            seen = processor(images=image, return_tensors="pt").to(self.device)
            embedding = model.get_image_embeddings(seen["pixel_values"])
            for start in range(0, len(boxes_px), _BOXES):
                boxes = [[list(map(float, box)) for box in boxes_px[start : start + _BOXES]]]
                given = processor(images=image, input_boxes=boxes, return_tensors="pt").to(self.device)
                answer = model(
                    input_boxes=given["input_boxes"].float(), image_embeddings=embedding, multimask_output=False
                )
                sizes = [given[name] for name in ("original_sizes", "reshaped_input_sizes") if name in given]
                drawn = processor.post_process_masks(answer.pred_masks.cpu(), *(size.cpu() for size in sizes))[0]
                masks += list(drawn[:, 0].numpy().astype(np.bool_))
        return masks

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        transformers = _transformers()
        try:
            model = transformers.AutoModelForMaskGeneration.from_pretrained(
                self.model, local_files_only=True, use_safetensors=True
            )
            processor = transformers.AutoProcessor.from_pretrained(self.model, local_files_only=True)
        except (OSError, ValueError) as error:
            raise DataError(
                f"--model: expected model.safetensors and a processor in {self.model}, got: {_first_line(error)}"
            ) from None
        return model.to(self.device).eval(), processor


def _transformers() -> Any:
    try:
        return importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise MissingExtra("--engine sam", "transformers") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
