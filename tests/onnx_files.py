"""Small ONNX files, written by hand: what they answer is known, and no exporter takes its seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def constant_answers(file: Path, answers: Mapping[str, np.ndarray], side_px: int = 8, images: int | str = 1) -> Path:
    """So many images of this side in, the same answers out, whatever they show."""
    nodes = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(value))
        for name, value in answers.items()
    ]
    outputs = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in answers.items()
    ]
    return _saved(file, nodes, [images, 3, side_px, side_px], outputs)


def naming(file: Path, names: str) -> Path:
    """The file with this text as its `names`, as exporters of YOLO write it."""
    model = onnx.load(str(file))
    helper.set_model_props(model, {"names": names})
    onnx.save(model, str(file))
    return file


def mean_colours(
    file: Path, weight: np.ndarray, channels: int = 3, side_px: Any = "side", kind: int = TensorProto.FLOAT
) -> Path:
    """Logits `scores` by a linear map (channels to classes) of each image's mean colour; any number of images."""
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("GlobalAveragePool", ["floats"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["scores"]),
    ]
    outputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["images", weight.shape[1]])]
    given = [numpy_helper.from_array(weight.astype(np.float32), "weight")]
    return _saved(file, nodes, ["images", channels, side_px, side_px], outputs, given, kind)


def _saved(
    file: Path,
    nodes: list[Any],
    shape: list[Any],
    outputs: list[Any],
    given: Any = (),
    kind: int = TensorProto.FLOAT,
) -> Path:
    images = helper.make_tensor_value_info("images", kind, shape)
    graph = helper.make_graph(nodes, "g", [images], outputs, list(given))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(file))
    return file
