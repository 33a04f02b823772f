"""The parts of a run that a checkpoint keeps: each gives its state and takes it up again."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch
from torch import nn

from terse.errors import RunError
from terse.training.checkpoint import BEGIN_ANEW
from terse.types import Costs

__all__ = ["PHASES", "Carried", "Optimizers", "Position", "SourceKeys", "Spending", "Stateful", "Weights"]

PHASES = ("pretrain", "warm_up", "synthesizer", "harvest", "target", "evaluate")


class Stateful(Protocol):
    """A part of a run whose state is kept with every checkpoint.

    Source: ours.
    """

    def state(self) -> Any:
        """What the part needs to go on: JSON-able data, or nested dicts and lists of tensors."""
        ...

    def restore(self, state: Any) -> None:
        """Go on from a state."""
        ...


@dataclass
class Position:
    """Where the run is: the cycle, the number of the phase in `PHASES`, and the steps of the phase that are done.

    Source: ours.
    """

    cycle: int = 0
    number: int = 0
    step: int = 0

    @property
    def phase(self) -> str:
        """The name of the phase."""
        return PHASES[self.number]

    def enter(self, cycle: int, phase: str) -> int | None:
        """Go to a phase; the step to begin with, or None where the run is past the phase."""
        wanted = (cycle, PHASES.index(phase))
        if (self.cycle, self.number) > wanted:
            return None
        if (self.cycle, self.number) < wanted:
            self.cycle, self.number, self.step = *wanted, 0
        return self.step

    def leave(self) -> None:
        """Go to the next phase, or to the first of the next cycle."""
        last = self.number == len(PHASES) - 1
        self.cycle, self.number, self.step = self.cycle + last, 0 if last else self.number + 1, 0

    def state(self) -> list[int]:
        """Cycle, phase and step, for a checkpoint."""
        return [self.cycle, self.number, self.step]

    def restore(self, state: list[int]) -> None:
        """Go to where the state was written."""
        self.cycle, self.number, self.step = state


class Spending:
    """What the cycle has cost so far, and the clock that charges its phases.

    Source: ours.
    """

    def __init__(self) -> None:
        self.costs = Costs()
        self._clock = time.monotonic()

    def start_clock(self) -> None:
        """Charge nobody for the time up to now."""
        self._clock = time.monotonic()

    def charge(self, phase: str) -> None:
        """Charge the phase with the time since the clock was last read."""
        now = time.monotonic()
        self.costs.seconds[phase] = self.costs.seconds.get(phase, 0.0) + now - self._clock
        self._clock = now

    def state(self) -> dict[str, Any]:
        """The costs; the clock starts anew with the process."""
        return asdict(self.costs)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self.costs = Costs(**state)


@dataclass(frozen=True)
class Weights:
    """Parameters and buffers of a player's network.

    Source: ours.
    """

    module: nn.Module

    def state(self) -> dict[str, Any]:
        """The `state_dict`."""
        return self.module.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Copy the values; memory layout and device stay the module's."""
        self.module.load_state_dict(state)


class Optimizers:
    """Each player's optimiser, made when its phase first needs it.

    Source: ours.
    """

    def __init__(self) -> None:
        self._made: dict[str, torch.optim.Optimizer] = {}
        self._read: dict[str, Any] = {}  # states of a checkpoint whose optimisers are not made yet

    def get(
        self, player: str, module: nn.Module, make: Callable[[nn.Module], torch.optim.Optimizer]
    ) -> torch.optim.Optimizer:
        """The player's optimiser, with the state of the checkpoint where the run was resumed."""
        if player not in self._made:
            self._made[player] = make(module)
            if player in self._read:
                self._made[player].load_state_dict(self._read.pop(player))
        return self._made[player]

    def forget(self, player: str) -> None:
        """The player's next step begins with a new optimiser."""
        self._made.pop(player, None)
        self._read.pop(player, None)

    def state(self) -> dict[str, Any]:
        """By player; a run that is killed again before an optimiser is made keeps what was read."""
        return self._read | {player: own.state_dict() for player, own in self._made.items()}

    def restore(self, state: dict[str, Any]) -> None:
        """Keep the states until their optimisers are made."""
        self._read = dict(state)


class Carried(dict[str, Any]):
    """Tensors of the phase under way, such as its harvest; empty when the phase ends.

    Source: ours.
    """

    def state(self) -> dict[str, Any]:
        """The tensors by name, for a checkpoint."""
        return dict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the tensors of a checkpoint."""
        self.clear()
        self.update(state)


class SourceKeys:
    """Which images a run is made from, by their keys: a run whose data changed cannot go on as it began.

    Args:
        sources: banks and real images by the part of the recipe that they come from.

    Source: ours.
    """

    def __init__(self, sources: Mapping[str, Any]) -> None:
        self._sources = sources

    def state(self) -> dict[str, list[Any]]:
        """The number and the digest of the keys of each source; images without keys have their number alone."""
        return {name: self._of(source) for name, source in self._sources.items()}

    def restore(self, state: Mapping[str, Sequence[Any]]) -> None:
        """See that the sources are those of the state.

        Raises:
            RunError: images came, went or have other names.
        """
        for name, before in state.items():
            now = self._of(self._sources[name])
            if now != list(before):
                told = f"{now[0]:,} instead of {before[0]:,}" if now[0] != before[0] else f"other names for {now[0]:,}"
                raise RunError(
                    f"{name}: expected the images that the run began with, got {told}; bring them back, or {BEGIN_ANEW}"
                )

    @staticmethod
    def _of(source: Any) -> list[Any]:
        keys = getattr(source, "keys", ())
        digest = hashlib.sha256("\n".join(keys).encode("utf-8", "surrogatepass")).hexdigest()
        return [len(source), digest]
