"""One mode for training and drawing: the same dropout, and running statistics that are those of the weights' own pairs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, UInt64
from torch import Tensor, nn

from terse.draws import derive, uniform
from terse.modes import in_mode
from terse.requests import Requests
from terse.synthesis.proposer import pastes_of

if TYPE_CHECKING:
    from terse.synthesis.learned.proposer import LearnedProposer

__all__ = ["seeded_dropout", "settle_statistics", "settled", "without_dropout"]


@contextmanager
def seeded_dropout(network: nn.Module, seeds: UInt64[np.ndarray, " n"]) -> Iterator[None]:
    """Dropout of a network in eval mode, by masks that are functions of each pair's seed, whatever its batch.

    Source: ours.
    """
    calls = 0

    def drop(part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        nonlocal calls
        assert isinstance(part, nn.Dropout | nn.Dropout2d)
        if not part.p:
            return output
        calls += 1
        shape = output.shape[1:2] if isinstance(part, nn.Dropout2d) else output.shape[1:]
        own = derive(seeds, f"dropout {calls}")
        kept = torch.from_numpy(uniform(own, "mask", shape.numel()) >= part.p).view(len(output), *shape)
        kept = kept.view(*kept.shape, *[1] * (output.ndim - kept.ndim)).to(output)
        return output * kept / max(1e-9, 1 - part.p)

    hooks = [part.register_forward_hook(drop) for part in _dropouts(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def without_dropout(network: nn.Module) -> Iterator[None]:
    """No dropout inside, in any mode.

    Source: ours.
    """
    parts = _dropouts(network)
    rates = [part.p for part in parts]
    try:
        for part in parts:
            part.p = 0.0
        yield
    finally:
        for part, rate in zip(parts, rates, strict=True):
            part.p = rate


def _dropouts(network: nn.Module) -> list[nn.Dropout | nn.Dropout2d]:
    return [part for part in network.modules() if isinstance(part, nn.Dropout | nn.Dropout2d)]


@torch.no_grad()
def settle_statistics(proposer: LearnedProposer, seeds: UInt64[np.ndarray, " n"]) -> float:
    """Take BatchNorm's running statistics anew from random pairs: training's moving average is of older weights.

    Args:
        proposer: its network is drawn from afterwards.
        seeds: one a pair; they pass in batches of the training's size, whose statistics training sees.

    Returns:
        The mean distance of a unit pose in training's mode from the same pair's when drawing.

    Source: ours; stochastic weight averaging re-estimates alike (Izmailov et al. 2018).
    """
    network = proposer.module.train()
    norms = [part for part in network.modules() if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training]
    network.eval()
    requests = proposer.requests(seeds)
    rows = np.array_split(np.arange(len(seeds)), max(1, round(len(seeds) / proposer.settings.batch_size)))
    batches = [requests.take(batch) for batch in rows]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over the batches
    try:
        with in_mode(*norms, training=True):
            trained = [_unit_poses(proposer, batch) for batch in batches]
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
    drawn = [_unit_poses(proposer, batch) for batch in batches]
    return float((torch.cat(trained) - torch.cat(drawn)).abs().mean())


@contextmanager
def settled(proposer: LearnedProposer, seeds: UInt64[np.ndarray, " n"]) -> Iterator[None]:
    """Inside, poses are drawn as they are once the network is in use; it is given back as it was, bit for bit.

    A network that has never trained has BatchNorm's first statistics, under which all its outputs are nearly 0: every pose
    the middle of the ranges.

    Source: ours.
    """
    network = proposer.module
    before = {name: value.clone() for name, value in network.named_buffers()}
    settle_statistics(proposer, seeds)
    try:
        yield
    finally:
        for name, value in network.named_buffers():
            value.copy_(before[name])


def _unit_poses(proposer: LearnedProposer, requests: Requests) -> Float[Tensor, "b k"]:
    """In the mode that the network's parts are in."""
    pastes = pastes_of(proposer.materials, requests)
    materials, pose = proposer.materials, proposer.poses_of(pastes, requests)
    return materials.poses.joint.unit_of_classes(pose, pastes.label, materials.foregrounds.classes)
