"""A detector with the weights of a file: the whole detector, or the backbone below it, told apart by the names."""

import logging
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from terse.errors import DataError
from terse.targets.detector_networks import Network
from terse.targets.weights import read_weights

__all__ = ["build_with_weights"]

_log = logging.getLogger(__name__)
_CLASSIFIERS = (
    "head.classification_head.module_list.0.weight",
    "head.classification_head.module_list.0.1.weight",
    "head.classification_head.cls_logits.weight",
    "roi_heads.box_predictor.cls_score.weight",
)


def build_with_weights(network: Network, path: Path | None, outputs: int, size_px: int) -> tuple[nn.Module, int, str]:
    """The detector, its number of outputs (a whole detector in the file decides it), and what the file held.

    Raises:
        DataError: no such file, or it holds neither this detector nor its backbone; the first tensor that does
            not fit is named.
    """
    if path is None:
        return network.build(outputs, size_px, {}), outputs, "nothing"
    state = read_weights(path)
    module = network.build(outputs, size_px, state)
    own = module.state_dict()
    name = next(name for name in _CLASSIFIERS if name in own)
    if name in state:
        told = outputs * len(state[name]) / len(own[name])
        if told != outputs:
            if told != int(told) or told < 1:
                raise _misfit(path, name, state[name], own[name])
            outputs = int(told)
            module = network.build(outputs, size_px, state)
        _load(module, state, path)
        found = "detector"
    else:
        _load(module, _body(network, module, state, path), path)
        found = "backbone"
    _log.info("target.weights: %s holds a %s", path.name, found if found == "backbone" else "whole detector")
    return module, outputs, found


def _body(network: Network, module: nn.Module, state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The detector's own tensors with those of its body replaced by the file's."""
    own = module.state_dict()
    body = {name: inner for name in own if (inner := network.body(name)) is not None}
    # Files name the layers as the whole classifier does, or as its list of features alone.
    prefix = max(("", "features.", "backbone."), key=lambda p: sum(p + inner in state for inner in body.values()))
    joined = dict(own)
    for name, inner in body.items():
        given = state.get(prefix + inner)
        if given is None and not inner.endswith("num_batches_tracked"):
            raise DataError(
                f"target.weights: expected the whole detector or its backbone, got {path} without {prefix + inner!r}; "
                f"its names begin with {next(iter(state))!r}"
            )
        if given is not None:
            joined[name] = given
    return joined


def _load(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    own = module.state_dict()
    for name, tensor in own.items():
        if name not in state:
            if name.endswith("num_batches_tracked"):
                continue
            raise DataError(f"target.weights: expected every tensor of the detector, got {path} without {name!r}")
        if state[name].shape != tensor.shape:
            raise _misfit(path, name, state[name], tensor)
    spare = next((n for n in state if n not in own and not n.endswith("num_batches_tracked")), None)
    if spare is not None:
        raise DataError(
            f"target.weights: expected the tensors of the detector alone, got {path} with {spare!r} as well; "
            "is target.kind the detector it was saved from?"
        )
    module.load_state_dict(dict(state), strict=False)


def _misfit(path: Path, name: str, given: Tensor, wanted: Tensor) -> DataError:
    return DataError(
        f"target.weights: expected {name!r} of shape {tuple(wanted.shape)}, got {tuple(given.shape)} in {path}; "
        "is target.kind the detector it was saved from?"
    )
