"""The players that a finished run left: its target at some time, and its last discriminator, both on the CPU."""

import copy
from pathlib import Path

import torch

from terse.discriminator import Discriminator
from terse.protocols import Judges, trainable
from terse.targets.copies import copy_of
from terse.targets.weights import load_weights
from terse.training.checkpoint import read_checkpoint

__all__ = ["kept_discriminator", "target_with"]


def target_with(target: Judges, weights: Path) -> Judges:
    """A copy of the target on the CPU, with these weights."""
    one = copy_of(target)
    network = trainable(one).module
    load_weights(network, weights)
    network.to(torch.device("cpu"))
    return one


def kept_discriminator(discriminator: Discriminator | None, folder: Path) -> Discriminator | None:
    """A copy of the discriminator on the CPU with the weights of the run's state; None where the run had none."""
    state = read_checkpoint(folder / "state") if discriminator is not None else None
    if discriminator is None or state is None:
        return None
    one = copy.deepcopy(discriminator)
    one.load_state_dict(state[0]["discriminator"])
    return one.to(torch.device("cpu")).eval()
