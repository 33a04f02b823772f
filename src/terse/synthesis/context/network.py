"""The network that sees a masked-out neighbourhood and says which class fits there."""

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor, nn
from torch.nn import functional

from terse.synthesis.context.crops import Surroundings

__all__ = ["ContextNetwork", "score_crops", "train_context"]

_WIDTHS = (24, 48, 64, 64)
_BATCH = 64
_SCORED = 256


class ContextNetwork(nn.Module):
    """Four strided convolutions, mean over the rest, one output a class; the first is background.

    Source: ours, for the place of Dvornik et al.'s ResNet-50.
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 4
        for width in _WIDTHS:
            layers += [
                nn.Conv2d(channels, width, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
            ]
            channels = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes + 1)

    def forward(self, crops: UInt8[Tensor, "b 4 side side"]) -> Float[Tensor, "b outputs"]:
        """Logits."""
        flat: Tensor = self.features(crops.float().div(127.5).sub(1)).mean(dim=(2, 3))
        logits: Tensor = self.head(flat)
        return logits


def train_context(
    surroundings: Surroundings, classes: int, *, epochs: int, lr: float, seed: int, device: torch.device | str = "cpu"
) -> ContextNetwork:
    """A trained network in eval mode; the global generator is left as it was.

    Source: Dvornik et al. 2018, 4.1 (Adam, cross-entropy); mirroring is ours.
    """
    draw = np.random.default_rng(seed)
    with (
        torch.random.fork_rng(devices=[]),
        torch.enable_grad(),
        torch.autocast(torch.device(device).type, enabled=False),
    ):
        torch.manual_seed(seed)
        network = ContextNetwork(classes).to(device).train()
        optimizer = torch.optim.Adam(network.parameters(), lr=lr, weight_decay=5e-5)
        steps = epochs * max(1, len(surroundings.labels) // _BATCH)
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for rows in _batches(len(surroundings.labels), epochs, draw):
            crops, labels = surroundings.crops[rows].to(device), surroundings.labels[rows].to(device)
            if draw.random() < 0.5:
                crops = crops.flip(3)
            loss = functional.cross_entropy(network(crops), labels)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rate.step()
    return network.eval()


@torch.no_grad()
def score_crops(network: ContextNetwork, crops: UInt8[Tensor, "n 4 side side"]) -> Float[Tensor, "n outputs"]:
    """Probabilities of background and of each class, on the CPU.

    Source: Dvornik et al. 2018, 3.2.
    """
    device = network.head.weight.device
    with torch.autocast(device.type, enabled=False):
        parts = [network(part.to(device)).softmax(dim=1).cpu() for part in torch.split(crops, _SCORED)]
    return torch.cat(parts)


def _batches(count: int, epochs: int, draw: np.random.Generator) -> list[Int64[Tensor, " b"]]:
    size = min(_BATCH, count)
    orders = [torch.from_numpy(draw.permutation(count)) for _ in range(epochs)]
    return [order[start : start + size] for order in orders for start in range(0, count - size + 1, size)]
