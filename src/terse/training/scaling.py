"""Gradients of networks in float16: scaled up before they are found, so that small ones are not lost, and down again after."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from terse.errors import RecipeError

__all__ = ["LEAST_SCALE", "Scales", "require_float32"]

LEAST_SCALE = 2.0**-10
"""Below it, eleven steps at scale 1 and smaller were left out: the gradients are no numbers at any scale."""


class Scales:
    """The gradient scaler of each player (`torch.amp.GradScaler`); in other precisions nothing is scaled.

    A gradient that is too large for the scale costs its step: weights and optimiser stay as they are, the scale is halved, and
    the phase goes on with its next batch. Scales go into the state, so that a resumed run has the same. Where several
    processes share a batch, all see the sum of the gradients and decide alike.

    Args:
        device: of the networks.
        on: whether they run in float16.

    Source: Micikevicius et al. 2018; that each player has its own is ours.
    """

    def __init__(self, device: torch.device, *, on: bool) -> None:
        self._device, self._on = device, on
        self._made: dict[str, torch.amp.GradScaler] = {}

    def of(self, player: str) -> float:
        """What a loss of the player is multiplied by before its gradient is found; 1 in other precisions."""
        return float(self._scaler(player).get_scale()) if self._on else 1.0

    def step(self, player: str, optimizer: torch.optim.Optimizer, clip: Callable[[], None]) -> None:
        """The step of the optimiser from gradients of a scaled loss, scaled down and clipped; none where one is no number.

        The optimiser is not asked for a step that does not count: torch's fused SGD would begin with a momentum of
        uninitialised memory.
        """
        if self._on and any(weight.grad is not None for group in optimizer.param_groups for weight in group["params"]):
            scaler = self._scaler(player)
            before = scaler.get_scale()
            scaler.unscale_(optimizer)
            scaler.update()
            if scaler.get_scale() < before:
                return
        clip()
        optimizer.step()

    def backward(self, player: str, loss: Tensor) -> None:
        """Find the gradients of a loss, scaled."""
        scaled = self._scaler(player).scale(loss.float()) if self._on else loss
        scaled.backward()  # type: ignore[no-untyped-call]

    def state(self) -> dict[str, dict[str, Any]]:
        """By player."""
        return {player: scaler.state_dict() for player, scaler in self._made.items()}

    def restore(self, state: dict[str, dict[str, Any]]) -> None:
        """Go on with these; a run that goes on in another precision leaves them."""
        for player, kept in state.items() if self._on else ():
            self._scaler(player).load_state_dict(kept)

    def _scaler(self, player: str) -> torch.amp.GradScaler:
        if player not in self._made:
            scaler = self._made[player] = torch.amp.GradScaler(self._device.type)
            scaler.scale(torch.zeros((), device=self._device))  # it makes its own tensors at the first one
        return self._made[player]


def require_float32(module: nn.Module) -> None:
    """Refuse weights in float16, whose gradients cannot be scaled.

    Raises:
        RecipeError: the module has some.

    Source: ours.
    """
    if any(weight.dtype == torch.float16 for weight in module.parameters() if weight.requires_grad):
        raise RecipeError(
            f"runtime.precision: expected weights in float32, which float16 networks are trained from, got "
            f"{type(module).__name__} with weights in float16; call .float() on it"
        )
