"""One run under way: what it plays with, where it is, and how it goes on after a kill."""

import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from terse.discriminator import Discriminator
from terse.errors import Diverged
from terse.evaluation.hardness import HardnessRule
from terse.evaluation.learnable import ReferenceRule
from terse.folders import write_atomically
from terse.objectives import RealismWeight
from terse.pool import Pool
from terse.pose_entropy import PoseEntropy
from terse.progress import Interrupted, Observer
from terse.protocols import Chooses, Judges, Proposer, RealImages, network_of
from terse.recipe import Recipe
from terse.recipe_parts import OptimizerConfig
from terse.synthesis.materials import Materials
from terse.training.checkpoint import read_checkpoint, require_none_lost, write_checkpoint
from terse.training.engine import Engine
from terse.training.memory import Memory
from terse.training.metrics_log import MetricsLog
from terse.training.scaling import LEAST_SCALE
from terse.training.state import PHASES, Carried, Optimizers, Position, SourceKeys, Spending, Stateful, Weights
from terse.types import Costs

__all__ = ["Players", "Session"]


@dataclass
class Players:
    """Synthesizer (an arm), target, and what they play with.

    Source: paper 3.
    """

    target: Judges
    proposer: Proposer | None
    rule: HardnessRule
    materials: Materials
    train: RealImages
    val: RealImages
    test: RealImages
    discriminator: Discriminator | None = None


class Session:
    """A run's parts. The phases call `enter`, `tick` after each step, and `leave`; `state/` holds what these need.

    `facts` is JSON-able: the rows of the cycles, the alarms, and what a phase leaves for the evaluation.

    Source: ours.
    """

    def __init__(
        self, recipe: Recipe, players: Players, pool: Pool, folder: Path | None, observer: Observer, engine: Engine
    ) -> None:
        self.recipe, self.players, self.pool = recipe, players, pool
        self.folder, self.observer, self.engine = folder, observer, engine
        self.position, self.spending = Position(), Spending()
        self.log = MetricsLog(None if engine.rank else folder)
        self.optimizers, self.carried = Optimizers(), Carried()
        self.memory = Memory(observer.say, engine.scales.of)
        self.facts: dict[str, Any] = {"rows": [], "alarms": [], "alarm_cycles": []}
        self.small_parts: dict[str, Stateful] = {
            "position": self.position,
            "costs": self.spending,
            "rule": players.rule,
            "metrics_bytes": self.log,
            "shards": pool,
            "memory": self.memory,
            "scales": engine.scales,
            "sources": SourceKeys(
                {
                    "foregrounds": players.materials.foregrounds,
                    "backgrounds": players.materials.backgrounds,
                    "train": players.train,
                    "val": players.val,
                    "test": players.test,
                }
            ),
        }
        self.tensor_parts: dict[str, Stateful] = {"optimizers": self.optimizers, "carried": self.carried}
        synthesizer = players.proposer.module if players.proposer else None
        networks = {"target": network_of(players.target), "synthesizer": synthesizer}
        for name, module in {**networks, "discriminator": players.discriminator}.items():
            if module is not None:
                self.tensor_parts[name] = Weights(module)
        objective, learned = recipe.objective, synthesizer is not None
        self.pose_entropy: PoseEntropy | None = None
        self.realism_weight: RealismWeight | None = None
        if learned and objective.coverage is not None:
            self.pose_entropy = PoseEntropy(objective, players.materials.poses.joint)
            self.tensor_parts["pose_entropy"] = self.pose_entropy
        if players.discriminator is not None and objective.realism == "auto":
            self.realism_weight = RealismWeight(objective.realism_share)
            self.tensor_parts["realism_weight"] = self.realism_weight
        if isinstance(players.rule, ReferenceRule):
            for number, reference in enumerate(players.rule.references or ()):
                self.tensor_parts[f"reference {number}"] = Weights(reference.module)
        if isinstance(players.proposer, Chooses):
            self.tensor_parts["critic"] = players.proposer
        self._saved = time.monotonic()

    @property
    def keeps_hard(self) -> bool:
        """Whether the arm keeps what the rule calls hard; for all others the rule is a measurement, that is not paid for."""
        proposer = self.players.proposer
        return proposer is not None and proposer.keeps_hard

    @property
    def costs(self) -> Costs:
        """What the cycle under way has cost."""
        return self.spending.costs

    def enter(self, cycle: int, phase: str, steps: int) -> int | None:
        """The step to begin a phase with; None if it was finished before a kill."""
        first = self.position.enter(cycle, phase)
        if first is not None:
            self.spending.start_clock()
            self.observer.phase(cycle, phase, steps, first)
        return first

    def tick(self, **numbers: float) -> None:
        """A step is over: count it, show it, and keep the state every so often.

        Raises:
            Interrupted: the observer asked to stop; the state is kept.
        """
        position, checkpoint = self.position, self.recipe.checkpoint
        position.step += 1
        self.spending.charge(position.phase)
        self.log.add(position.cycle, position.phase, position.step, numbers)
        self.observer.step(**numbers)
        stop = self.engine.ranks.any(self.observer.stop())
        due = time.monotonic() - self._saved >= checkpoint.every_seconds
        if position.step % checkpoint.every_steps == 0 or due or stop:
            self.save()
        if stop:
            raise Interrupted

    def leave(self) -> None:
        """The phase is over: the next one, or the next cycle's first, begins from the state written here."""
        self.spending.charge(self.position.phase)
        self.position.leave()
        self.carried.clear()
        self.optimizers.forget("target")
        self.engine.align()
        self.save()

    def check_finite(self, player: str, loss: torch.Tensor) -> None:
        """Stop before a broken loss reaches the weights.

        Raises:
            Diverged: the loss is not finite; it names the player whose weights have become so, else the one that learns.
        """
        if not bool(torch.isfinite(loss)):
            raise self._diverged(self._broken() or player, f"{float(loss.detach())}")

    def update(
        self,
        player: str,
        loss: torch.Tensor,
        module: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        settings: OptimizerConfig,
    ) -> None:
        """Step a player's optimiser, as the engine does.

        Raises:
            Diverged: scaled gradients are no numbers, however small their scale.
        """
        self.engine.update(player, loss, module, optimizer, settings)
        if self.engine.scales.of(player) < LEAST_SCALE:
            raise self._diverged(player, "a gradient that is no number at any scale")

    def _broken(self) -> str | None:
        """The first player whose weights are no numbers any more."""
        proposer = self.players.proposer
        networks = {
            "target": network_of(self.players.target),
            "discriminator": self.players.discriminator,
            "synthesizer": proposer.module if proposer is not None else None,
        }
        for name, network in networks.items():
            if network is not None and not all(bool(value.isfinite().all()) for value in network.parameters()):
                return name
        return None

    def _diverged(self, player: str, value: str) -> Diverged:
        self.log.state()  # what led there
        kept = self.folder is not None and (self.folder / "state" / "checkpoint.pth").is_file()
        return Diverged(player, self.position.step, value, str(self.folder / "state") if self.folder and kept else None)

    def alarm(self, cycle: int, sentence: str) -> None:
        """Say what the user should know of a cycle, and keep it for the result."""
        self.facts["alarms"].append(f"cycle {cycle}: {sentence}" if cycle else sentence)
        self.facts["alarm_cycles"].append(cycle)
        self.observer.say(f"alarm: {sentence}" if cycle else sentence)

    def save(self) -> None:
        """Write the state of every part; nothing without a folder.

        Raises:
            Diverged: weights are no numbers; the state before stays, from which the run can go on.
        """
        self._saved = time.monotonic()
        if self.folder is None or self.engine.rank:
            return
        if (broken := self._broken()) is not None:
            raise self._diverged(broken, "weights that are no numbers")
        tensors = {name: part.state() for name, part in self.tensor_parts.items()}
        small = {name: part.state() for name, part in self.small_parts.items()}
        write_checkpoint(self.folder / "state", tensors, {**self.facts, **small})

    def restore(self) -> bool:
        """Take up the newest whole state of the folder; False where the run was stopped before its first.

        Raises:
            RunError: there was a state, and none is whole; or the data have changed since.
        """
        state = read_checkpoint(self.folder / "state", self.observer) if self.folder else None
        if state is None:
            if not self.engine.rank:
                self._begin_again()
            return False
        tensors, facts = state
        self.facts = {"alarm_cycles": [0] * len(facts["alarms"]), **facts}  # older states do not say
        for name, part in self.small_parts.items():
            if name in self.facts:  # older states do not hold every part
                part.restore(self.facts.pop(name))
        for name, part in self.tensor_parts.items():
            part.restore(tensors[name])
        if self.players.proposer is not None:
            harvested = "harvest" in self.facts or self.position.number > PHASES.index("harvest")
            draws = self.facts.get("redraws", 0) if harvested else None
            self.pool.load(self.position.cycle if harvested else self.position.cycle - 1, draws)
        return True

    def _begin_again(self) -> None:
        """Go on from nothing, which is right only where the run was stopped before its first state."""
        assert self.folder is not None
        require_none_lost(self.folder)
        self.log.restore(0)
        self.observer.say(f"{self.folder}: the run was stopped before its first state was written; it begins")

    def keep_target(self) -> None:
        """Write `target.pth`, the state_dict in the user's own key names, and the synthesizer of the same cycle.

        A target without a module is kept by whoever trains it.
        """
        proposer, network = self.players.proposer, network_of(self.players.target)
        if network is not None:
            self._keep("target.pth", network)
        if proposer is not None and proposer.module is not None:
            self._keep("state/synthesizer.pth", proposer.module)

    def keep_cycle(self, cycle: int) -> None:
        """Write `cycles/target-N.pth`, the target after a cycle, where the recipe asks for it."""
        network = network_of(self.players.target)
        if network is not None and self.recipe.checkpoint.each_cycle:
            self._keep(f"cycles/target-{cycle}.pth", network)

    def _keep(self, file: str, module: torch.nn.Module) -> None:
        if self.folder is None or self.engine.rank:
            return
        stream = io.BytesIO()
        torch.save({name: value.detach().cpu() for name, value in module.state_dict().items()}, stream)
        path = self.folder / file
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, stream.getvalue())
