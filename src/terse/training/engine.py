"""How networks are run: the device they stand on and the memory layout they keep."""

from typing import TypeVar

import torch
from torch import nn

__all__ = ["prepare"]

Network = TypeVar("Network", bound=nn.Module)


def prepare(module: Network, device: torch.device) -> Network:
    """Move a player's network to the device and to channels-last layout, in place; the same object is returned.

    Call it once, where the player is built. Kernels for the two layouts round differently, so a network whose
    layout depended on the phases it went through would train to other weights after a resume. Loading a
    `state_dict` copies values only and keeps the layout.

    Source: ours; channels-last is the faster layout for convolutions on CPUs and GPUs.
    """
    module.to(device)
    module.to(memory_format=torch.channels_last)
    return module
