"""How a synthesizer's weights start."""

from torch import nn

__all__ = ["xavier"]


def xavier(module: nn.Module, gain: float = 0.4) -> None:
    """Xavier-uniform weights with this gain and zero biases in every convolution and linear layer.

    Source: paper A.1 (gain 0.4); uniform rather than normal and zero biases are ours.
    """
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(part.weight, gain=gain)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
