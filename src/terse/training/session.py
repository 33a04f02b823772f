"""One run under way: the players, the position, the costs, and how all of it is kept and taken up again."""

import io
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from terse.discriminator import Discriminator
from terse.errors import Diverged
from terse.evaluation.hardness import HardnessRule
from terse.folders import write_atomically
from terse.pool import Pool
from terse.progress import Interrupted, Observer
from terse.protocols import Judges, Proposer, RealImages, network_of, trainable
from terse.recipe import Recipe
from terse.synthesis.materials import Materials
from terse.training.checkpoint import read_checkpoint, write_checkpoint
from terse.training.metrics_log import MetricsLog
from terse.types import Costs
from terse.workers import usable_cores

__all__ = ["PHASES", "Players", "Session"]

PHASES = ("pretrain", "warm_up", "synthesizer", "harvest", "target", "evaluate")


@dataclass
class Players:
    """Synthesizer (an arm), target, and what they play with."""

    target: Judges
    proposer: Proposer | None
    rule: HardnessRule
    context: Materials
    train: RealImages
    val: RealImages
    test: RealImages
    discriminator: Discriminator | None = None


@dataclass
class Session:
    """A run's moving parts. `state/` holds all that `enter` and `tick` need to go on after a kill."""

    recipe: Recipe
    players: Players
    pool: Pool
    folder: Path | None
    observer: Observer
    device: torch.device
    position: tuple[int, int, int] = (0, 0, 0)  # cycle, phase, step
    costs: Costs = field(default_factory=Costs)
    facts: dict[str, Any] = field(default_factory=lambda: {"rows": [], "alarms": [], "alarm_cycles": []})
    optimizers: dict[str, torch.optim.Optimizer] = field(default_factory=dict)
    carried: dict[str, Any] = field(default_factory=dict)  # a phase's own tensors, kept with the state
    _clock: float = field(default_factory=time.monotonic)
    _saved: float = field(default_factory=time.monotonic)
    _bfloat16: bool | None = None
    _waiting: dict[str, Any] = field(default_factory=dict)  # optimiser states read before their optimisers exist
    log: MetricsLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = MetricsLog(self.folder)

    def enter(self, cycle: int, phase: str, steps: int) -> int | None:
        """The step to begin a phase with; None if it was finished before a kill."""
        number = PHASES.index(phase)
        if self.position[:2] > (cycle, number):
            return None
        first = self.position[2] if self.position[:2] == (cycle, number) else 0
        self.position = (cycle, number, first)
        self._clock = time.monotonic()
        self.observer.phase(cycle, phase, steps, first)
        return first

    def tick(self, **numbers: float) -> None:
        """A step is over: count it, show it, and keep the state every so often."""
        cycle, phase, step = self.position
        self.position = (cycle, phase, step + 1)
        self.take_time()
        self.log.add(cycle, PHASES[phase], step + 1, numbers)
        self.observer.step(**numbers)
        stop = self.observer.stop()
        due = time.monotonic() - self._saved >= self.recipe.checkpoint.every_seconds
        if (step + 1) % self.recipe.checkpoint.every_steps == 0 or due or stop:
            self.save()
        if stop:
            raise Interrupted

    def leave(self) -> None:
        """The phase is over: the next one, or the next cycle's first, begins from the state written here."""
        self.take_time()
        cycle, phase, _ = self.position
        self.position = (cycle + 1, 0, 0) if PHASES[phase] == PHASES[-1] else (cycle, phase + 1, 0)
        self.carried = {}
        self.forget_optimizer("target")
        self.save()

    def check_finite(self, player: str, loss: torch.Tensor) -> None:
        """Stop before a broken loss reaches the weights.

        Raises:
            Diverged: the loss is not finite.
        """
        if not bool(torch.isfinite(loss)):
            self.log.flush()  # what led there
            saved = str(self.folder / "state") if self.folder and (self.folder / "state").exists() else None
            raise Diverged(player, self.position[2], f"{float(loss.detach())}", saved)

    def autocast(self) -> AbstractContextManager[Any]:
        """Networks in bfloat16 where the machine has units for it; compositing stays outside."""
        if self._bfloat16 is None:
            self._bfloat16 = _bfloat16(self.recipe.runtime.precision, self.device, self._networks())
        if self._bfloat16:
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def _networks(self) -> list[nn.Module]:
        players = self.players
        synthesizer = players.proposer.module if players.proposer else None
        found = (network_of(players.target), synthesizer, players.discriminator)
        return [module for module in found if module is not None]

    def use_threads(self, pixels: int) -> None:
        """One thread for a small batch, all cores for a large one (measured: docs/decisions/002-threads.md)."""
        if self.device.type == "cpu":
            asked = self.recipe.runtime.threads or int(os.environ.get("OMP_NUM_THREADS", "0"))
            torch.set_num_threads(asked or (1 if pixels < 1 << 18 else usable_cores()))

    def optimizer(self, player: str, module: nn.Module, make: Any) -> torch.optim.Optimizer:
        """The player's optimiser, with the state of the checkpoint it was read from."""
        if player not in self.optimizers:
            self.optimizers[player] = make(module)
            if player in self._waiting:
                self.optimizers[player].load_state_dict(self._waiting.pop(player))
        return self.optimizers[player]

    def forget_optimizer(self, player: str) -> None:
        """The player's next step begins with a new one."""
        self.optimizers.pop(player, None)
        self._waiting.pop(player, None)

    def save(self) -> None:
        """Write the state; nothing without a folder."""
        self._saved = time.monotonic()
        if self.folder is None:
            return
        tensors = {
            "target": trainable(self.players.target).module.state_dict(),
            # A resumed run may be killed again before a player's optimiser is made: what was read is kept until then.
            "optimizers": self._waiting | {name: own.state_dict() for name, own in self.optimizers.items()},
            "carried": self.carried,
        }
        synthesizer = self.players.proposer.module if self.players.proposer else None
        if synthesizer is not None:
            tensors["synthesizer"] = synthesizer.state_dict()
        if self.players.discriminator is not None:
            tensors["discriminator"] = self.players.discriminator.state_dict()
        facts = {
            **self.facts,
            "position": self.position,
            "costs": {
                "target_forwards": self.costs.target_forwards,
                "target_backwards": self.costs.target_backwards,
                "synthesizer_forwards": self.costs.synthesizer_forwards,
                "seconds": self.costs.seconds,
            },
            "rule": self.players.rule.state(),
            "metrics_bytes": self.log.flush(),
        }
        write_checkpoint(self.folder / "state", tensors, facts)

    def restore(self) -> bool:
        """Take up the newest whole state of the folder; False where there is none."""
        state = read_checkpoint(self.folder / "state") if self.folder else None
        self.log.cut(state[1].pop("metrics_bytes", 0) if state is not None else 0)
        if state is None:
            return False
        tensors, facts = state
        cycle, phase, step = facts.pop("position")
        self.position = (cycle, phase, step)
        self.costs = Costs(**facts.pop("costs"))
        self.players.rule.restore(facts.pop("rule"))
        self.facts = {"alarm_cycles": [0] * len(facts["alarms"]), **facts}  # older states do not say
        trainable(self.players.target).module.load_state_dict(tensors["target"])
        if self.players.proposer and self.players.proposer.module is not None:
            self.players.proposer.module.load_state_dict(tensors["synthesizer"])
        if self.players.discriminator is not None:
            self.players.discriminator.load_state_dict(tensors["discriminator"])
        self._waiting = tensors["optimizers"]
        self.carried = tensors["carried"]
        if self.players.proposer is not None:
            self.pool.load(cycle if "harvest" in facts or phase > PHASES.index("harvest") else cycle - 1)
        return True

    def keep_target(self) -> None:
        """Write `target.pth`: the state_dict in the user's own key names."""
        if self.folder is None:
            return
        stream = io.BytesIO()
        torch.save({k: v.detach().cpu() for k, v in trainable(self.players.target).module.state_dict().items()}, stream)
        write_atomically(self.folder / "target.pth", stream.getvalue())

    def take_time(self) -> None:
        """Charge the phase with the time since the last call."""
        now = time.monotonic()
        phase = PHASES[self.position[1]]
        self.costs.seconds[phase] = self.costs.seconds.get(phase, 0.0) + now - self._clock
        self._clock = now


def _bfloat16(precision: str, device: torch.device, networks: Sequence[nn.Module]) -> bool:
    """Whether networks run in bfloat16.

    Not on a CPU with grouped convolutions: the gradient of a strided depthwise one, channels last, now and then
    holds uninitialised memory there (seen with torch 2.15), and bfloat16 makes them no faster.
    """
    if precision == "float32":
        return False
    if precision == "bfloat16":
        return True
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    grouped = any(isinstance(part, nn.Conv2d) and part.groups > 1 for net in networks for part in net.modules())
    return device.type == "cpu" and not grouped and bool(torch.cpu._is_avx512_bf16_supported())
