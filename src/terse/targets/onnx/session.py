"""An ONNX file, run: images to the arrays of its outputs."""

import ast
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from terse.errors import DataError, MissingExtra, RecipeError, reason_of
from terse.targets.onnx.config import OnnxConfig
from terse.targets.pixels import Pixels

__all__ = ["OnnxSession"]

_TYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}


class OnnxSession:
    """The file and how images are shown to it; a copy in another process opens the file anew.

    Raises:
        RecipeError: an output or a side that the file does not have.
        DataError: no such file, or no ONNX.
        MissingExtra: onnxruntime is not installed.
    """

    def __init__(self, settings: OnnxConfig, canvas_px: int) -> None:
        self._settings, self._canvas_px = settings, canvas_px
        self._session = _opened(settings.weights)
        given = [one.name for one in self._session.get_outputs()]
        for field, name in settings.outputs.names.items():
            if name not in given:
                listed = ", ".join(f"{one.name} {tuple(one.shape)}" for one in self._session.get_outputs())
                raise RecipeError(
                    f"target.outputs.{field}: expected an output of {settings.weights.name}, got {name!r}; it has {listed}"
                )
        (image, *others) = self._session.get_inputs()
        if others or len(image.shape) != 4:
            shapes = ", ".join(f"{one.name} {tuple(one.shape)}" for one in (image, *others))
            raise RecipeError(f"target.weights: expected a network of one batch of images, got the inputs {shapes}")
        self._input, self._type = image.name, _type_of(image, settings)
        self.batch = (image.shape[0] or None) if isinstance(image.shape[0], int) else None
        height, width = image.shape[1:3] if settings.channels_last else image.shape[2:]
        fixed = width if isinstance(width, int) and isinstance(height, int) else None
        if fixed is not None and (height != width or settings.image_size_px not in (None, fixed)):
            raise RecipeError(
                f"target.image_size_px: expected the side of {settings.weights.name}, which takes images of "
                f"{width}x{height}, got {settings.image_size_px or 'a square'}; leave it out, or export the file anew"
            )
        self.side_px: int = fixed or settings.image_size_px or canvas_px
        self._pixels = Pixels(settings.mean, settings.std, self.side_px)

    def __reduce__(self) -> tuple[Any, ...]:
        return OnnxSession, (self._settings, self._canvas_px)

    @property
    def named(self) -> dict[str, int]:
        """The label of each class, in small letters, where the file says so: exporters of YOLO write `names` into it."""
        told = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            said = ast.literal_eval(told)
            pairs = list(said.items() if isinstance(said, dict) else enumerate(said))
            return {str(name).casefold(): int(number) for number, name in pairs}
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return {}

    def examples(self) -> Float[Tensor, "b c h w"]:
        """Grey images to try the file on: with one alone, outputs that do not follow the images would look right."""
        side = self._canvas_px
        return torch.full((self.batch or 2, len(self._settings.mean), side, side), 0.5)

    def __call__(self, images: Float[Tensor, "b c h w"]) -> dict[str, np.ndarray]:
        """The declared outputs of the images, by what they hold, the images first.

        A file with a fixed batch is run as often as it takes; one whose outputs lack the images' axis, as exports of a
        single image do, gets it.

        Raises:
            RecipeError: the file does not take such images.
        """
        shown = self._pixels(images.cpu())
        if self._settings.channels_last:
            shown = shown.permute(0, 2, 3, 1)
        if self._type is np.uint8:
            shown = (shown * 255).round()
        array = np.ascontiguousarray(shown.numpy().astype(self._type))
        if self.batch is None:
            return self._run(array, len(array))
        parts = []
        for start in range(0, len(array), self.batch):
            part = array[start : start + self.batch]
            filled = np.concatenate([part, np.zeros((self.batch - len(part), *part.shape[1:]), part.dtype)])
            parts.append({name: value[: len(part)] for name, value in self._run(filled, self.batch).items()})
        most = {name: max(sum(part[name].shape[1:2]) for part in parts) for name in parts[0]}
        return {name: np.concatenate([_filled(part[name], most[name]) for part in parts]) for name in parts[0]}

    def _run(self, array: np.ndarray, count: int) -> dict[str, np.ndarray]:
        names = self._settings.outputs.names
        try:
            found = self._session.run(list(names.values()), {self._input: array})
        except Exception as error:  # onnxruntime has a type for each cause
            raise RecipeError(
                f"target.weights: expected {self._settings.weights.name} to take images of {array.shape[1:]}, got: {reason_of(error)}"
            ) from None
        outputs = {name: _with_images(np.asarray(value), name, count) for name, value in zip(names, found, strict=True)}
        for name, value in outputs.items():
            if value.shape[:1] != (count,) or value.dtype.kind not in "fiub":
                raise RecipeError(
                    f"target.outputs.{name}: expected numbers, and a first axis of {count} for as many images, got "
                    f"{value.dtype} {value.shape} of {names[name]!r}; export the file anew"
                )
        return outputs


def _type_of(image: Any, settings: OnnxConfig) -> type[np.generic]:
    """The numbers that images are shown as: bytes hold 0 to 255, so nothing is left to normalise."""
    kind = _TYPES.get(image.type)
    if kind is None:
        raise RecipeError(
            f"target.weights: expected a network of images in floating point or uint8, got the input {image.name} of "
            f"{image.type}; export the file anew"
        )
    if kind is np.uint8 and (any(settings.mean) or any(one != 1 for one in settings.std)):
        raise RecipeError(
            f"target.mean and target.std: expected 0 and 1, because {settings.weights.name} takes uint8 images of 0 to 255, "
            f"got {list(settings.mean)} and {list(settings.std)}; leave them out"
        )
    return kind


_WIDTHS = {"boxes": 4, "rows": 6}


def _with_images(value: np.ndarray, name: str, count: int) -> np.ndarray:
    """With an axis for the images, where an export of one image left it out."""
    alone = value.ndim == 1 or (value.ndim == 2 and value.shape[1] == _WIDTHS.get(name))
    return value[None] if count == 1 and alone else value


def _filled(value: np.ndarray, most: int) -> np.ndarray:
    """As many boxes in each image: those that are missing have zeros, and so no score."""
    if value.ndim < 2 or value.shape[1] == most:
        return value
    return np.pad(value, [(0, 0), (0, most - value.shape[1]), *[(0, 0)] * (value.ndim - 2)])


def _opened(path: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("target.kind=onnx", "onnx") from None
    if not path.is_file():
        raise DataError(f"target.weights: expected an ONNX file, got none at {path}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=onnxruntime.get_available_providers())
    except Exception as error:  # onnxruntime has a type for each cause
        first = str(error).strip().splitlines()[0]
        raise DataError(
            f"target.weights: expected an ONNX file, got {path}, which cannot be opened ({first})"
        ) from None
