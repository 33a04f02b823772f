"""The proposer with a critic: base candidates stream by, and the critic says which are worth a pass of the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Bool, Float64, UInt64
from torch import Tensor

from terse.draws import seeds_of
from terse.placements import Placements, Role
from terse.requests import Limits, Requests
from terse.synthesis.blind import BlindProposer
from terse.synthesis.learned.candidates import (
    Choice,
    drift_of,
    entering,
    rank_correlation,
    ranks,
    thinning_threshold,
)
from terse.synthesis.learned.critic import Critic, described, fit
from terse.synthesis.learned.frozen import Frozen, FrozenFeatures
from terse.synthesis.materials import Materials
from terse.synthesis.proposer import BaseProposer

if TYPE_CHECKING:
    from terse.synthesis.learned.config import CriticConfig

__all__ = ["Candidates", "CriticProposer"]

_REFERENCE = 4096  # base candidates whose scores fix kappa
_WINDOWS = (250, 1000)  # newest kept ones that tau is taken from: few follow a new critic at once, many are sure
_FEWEST_KEPT = 30  # before so many, tau is the least pi
_NEARLY_ALL = 0.9
_FEWEST_WANTED = 10  # with fewer among the verdicts, how hard each was says more
_SEED = "critic"


@dataclass(frozen=True)
class Candidates:
    """Candidates that are to be judged, with the probability that each had, and what is known of them.

    Source: ours.
    """

    placements: Placements
    seeds: UInt64[np.ndarray, " n"]
    pi: Float64[np.ndarray, " n"]
    tau: Float64[np.ndarray, " n"]  # of the block that each was in
    score: Float64[np.ndarray, " n"]  # NaN: chosen before there was a critic

    def __len__(self) -> int:
        return len(self.pi)

    def take(self, rows: np.ndarray) -> Candidates:
        """Some of them, in the order given."""
        return Candidates(self.placements.take(rows), *(getattr(self, name)[rows] for name in _COLUMNS))

    @staticmethod
    def join(parts: list[Candidates]) -> Candidates:
        """Candidates put one behind the other."""
        columns = (np.concatenate([getattr(part, name) for part in parts]) for name in _COLUMNS)
        return Candidates(Placements.join([part.placements for part in parts]), *columns)


_COLUMNS = tuple(one.name for one in fields(Candidates) if one.name != "placements")


@dataclass
class _Fitted:
    """What the last fit left: the critic, the rule of choice, and how many verdicts there were."""

    critic: Critic | None = None
    choice: Choice | None = None
    verdicts: int = 0
    fits: int = 0


class CriticProposer(BaseProposer):
    """Base poses, judged where a critic expects that they are kept; the harvest keeps mining's law.

    The target's verdicts teach the critic; no gradient is asked for, so a black box will do. `propose` gives base
    candidates: a finished run's harvest followed mining's law, and so does what `terse generate` draws from it.

    Source: ours, after importance sampling with inverse probabilities (Horvitz and Thompson 1952).
    """

    keeps_hard = True

    def __init__(
        self,
        materials: Materials,
        settings: CriticConfig,
        frozen: Callable[[], Frozen],
        limits: Limits | None = None,
    ) -> None:
        super().__init__(materials, settings.batch_size, limits)
        self.settings = settings
        self._base = BlindProposer(materials, settings.batch_size, limits)
        self._features = FrozenFeatures(materials, frozen)
        self._fitted = _Fitted()
        self._verdicts: list[Candidates] = []
        self._told = 0

    def propose(self, requests: Requests) -> Placements:
        """Base candidates: random foregrounds of the classes wanted, under random poses."""
        return self._base.propose(requests)

    def choose(self, count: int, *step: int | str) -> Candidates:
        """About so many candidates of a step that are worth judging.

        A candidate's fate depends on its own seed and score, and on nothing else of its block.
        """
        choice, tau = self._choice, self.tau
        if self._fitted.critic is None:  # every base candidate is as good as another: the rest need not be drawn
            seeds = seeds_of(*step, count=count)
            placements = self.propose(self.requests(seeds))
            pi, unknown = choice.probabilities(np.zeros(count)), np.full(count, np.nan)
            return Candidates(placements, seeds, pi, np.full(count, tau), unknown)
        seeds = seeds_of(*step, count=math.ceil(count / choice.judged))
        placements = self.propose(self.requests(seeds))
        score = self.scores(placements)
        judged, pi = choice.draw(score, seeds)
        rows = np.flatnonzero(judged)
        return Candidates(placements.take(rows), seeds[rows], pi[rows], np.full(len(rows), tau), score[rows])

    def told(
        self,
        candidates: Candidates,
        hard: Bool[np.ndarray, " n"],
        hardness: Float64[np.ndarray, " n"],
        cycle: int,
    ) -> Bool[np.ndarray, " n"]:
        """Learn from the verdicts; which of the candidates enter the pool."""
        judged = replace(
            candidates.placements, hard=hard, hardness=hardness, cycle=np.full(len(hard), cycle, dtype=np.int64)
        )
        self._verdicts.append(replace(candidates, placements=judged))
        self._told += len(candidates)
        since = self._told - self._fitted.verdicts
        if since >= max(self.settings.first_fit, self.settings.refit * self._fitted.verdicts):
            self._fit(cycle)
        enters: Bool[np.ndarray, " n"] = hard & entering(candidates.pi, candidates.tau, candidates.seeds)
        return enters

    @property
    def tau(self) -> float:
        """The probability that a kept candidate's is thinned to, from the newest ones that a critic chose."""
        seen, least = self._all, self._choice.least
        if self._fitted.critic is None:
            return 1.0
        pi = np.zeros(0) if seen is None else seen.pi[seen.placements.hard & ~np.isnan(seen.score)]
        if len(pi) < _FEWEST_KEPT:
            return least
        return min(thinning_threshold(pi[-newest:], least, self.settings.drift) for newest in _WINDOWS)

    def scores(self, placements: Placements) -> Float64[np.ndarray, " b"]:
        """The critic's probability that each is kept; of several objects the highest counts.

        Raises:
            AssertionError: no critic was fitted yet.
        """
        critic = self._fitted.critic
        assert critic is not None
        with torch.no_grad():
            rows, image = self._described(placements)
            logit = rows.new_full((len(placements),), -torch.inf).scatter_reduce(0, image, critic(rows)[:, 0], "amax")
        return np.asarray(logit.sigmoid().double().numpy())

    def figures(self, cycle: int) -> dict[str, float]:
        """What the cycle's verdicts say: of the base, of the critic on candidates it had not seen, and of the drift."""
        seen = self._all
        if seen is None:
            return {}
        seen = seen.take(np.flatnonzero(seen.placements.cycle == cycle))
        weight = 1.0 / seen.pi
        hard = seen.placements.hard
        figures = {"base_hard_rate": float((hard * weight).sum() / max(weight.sum(), 1e-300))}
        figures["drift"] = drift_of(seen.pi[hard], seen.tau[hard])
        scored = ~np.isnan(seen.score)
        if scored.any():
            figures["rank_correlation"] = rank_correlation(
                seen.score[scored], seen.placements.hardness[scored], weight[scored]
            )
        return figures

    def state(self) -> dict[str, Any]:
        """Verdicts and critic, for a checkpoint."""
        fitted, seen = self._fitted, self._all
        state: dict[str, Any] = {"counts": torch.tensor([self._told, fitted.verdicts, fitted.fits])}
        if seen is not None:
            state["placements"] = seen.placements.state()
            state |= {name: torch.from_numpy(getattr(seen, name).view(np.int64)) for name in _COLUMNS}
        if fitted.critic is not None and fitted.choice is not None:
            state |= {
                "critic": fitted.critic.state_dict(),
                "kappa": torch.tensor(fitted.choice.kappa, dtype=torch.float64),
            }
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with what a checkpoint holds."""
        self._told, verdicts, fits = (int(n) for n in state["counts"])
        self._fitted, self._verdicts = _Fitted(verdicts=verdicts, fits=fits), []
        if "placements" in state:
            types = {"seeds": np.uint64}
            columns = (state[name].numpy().copy().view(types.get(name, np.float64)) for name in _COLUMNS)
            self._verdicts = [Candidates(Placements.from_state(state["placements"]), *columns)]
        if "critic" in state:
            critic = Critic(len(state["critic"]["mean"]))
            critic.load_state_dict(state["critic"])
            self._fitted.critic = critic.eval().requires_grad_(False)
            self._fitted.choice = replace(self._choice, kappa=float(state["kappa"]))

    @property
    def _choice(self) -> Choice:
        settings = self.settings
        return self._fitted.choice or Choice(0.0, settings.judged, settings.explore, settings.beta)

    @property
    def _all(self) -> Candidates | None:
        """The newest verdicts, as one."""
        if len(self._verdicts) > 1:
            joined = Candidates.join(self._verdicts)
            self._verdicts = [joined.take(np.arange(max(0, len(joined) - self.settings.most_verdicts), len(joined)))]
        return self._verdicts[0] if self._verdicts else None

    def _fit(self, cycle: int) -> None:
        """A new critic from the verdicts so far, and the rule of choice that fits its scores."""
        seen = self._all
        assert seen is not None
        age = cycle - seen.placements.cycle
        weight = torch.from_numpy(self.settings.forget**age).float()
        rows, image = self._described(seen.placements)
        kept, hardness = self._wanted(seen, cycle), torch.from_numpy(seen.placements.hardness).float()
        with torch.random.fork_rng([]):
            torch.manual_seed(int(seeds_of(self.materials.seed, _SEED, self._fitted.fits, count=1)[0] >> np.uint64(1)))
            critic = fit(rows, kept[image], hardness[image].clamp(0, 1), weight[image])
        self._fitted = _Fitted(critic, None, self._told, self._fitted.fits + 1)
        seeds = seeds_of(self.materials.seed, _SEED, "kappa", self._fitted.fits, count=_REFERENCE)
        scores = self.scores(self.propose(self.requests(seeds)))
        self._fitted.choice = Choice.of_scores(scores, self.settings)

    def _wanted(self, seen: Candidates, cycle: int) -> Tensor:
        """What the score is to be: whether a candidate was kept, or its rank by hardness where nearly all or hardly any were.

        Ranks are spread evenly over [0, 1], so they hardly favour the few that are wanted: a small share alone is no reason for them.
        """
        hard, weight = seen.placements.hard, 1.0 / seen.pi
        now = seen.placements.cycle == cycle
        rate = (hard * weight)[now].sum() / weight[now].sum()
        if rate <= _NEARLY_ALL and hard.sum() >= _FEWEST_WANTED:
            return torch.from_numpy(hard).float()
        wanted = np.zeros(len(hard))
        for one in np.unique(seen.placements.cycle):
            rows = seen.placements.cycle == one
            wanted[rows] = ranks(seen.placements.hardness[rows], weight[rows])
        return torch.from_numpy(wanted).float()

    def _described(self, placements: Placements) -> tuple[Tensor, Tensor]:
        """A row for each labelled object, and the image that it is in."""
        materials = self.materials
        rows = np.flatnonzero(placements.role == Role.OBJECT)
        image, fore, pose = placements.image_index[rows], placements.foreground[rows], placements.pose[rows]
        features = self._features(fore, placements.background[image], pose)
        joint = np.concatenate([pose, placements.image_pose[image]], axis=1)
        unit = materials.poses.joint.to_unit(torch.from_numpy(joint)).float()
        label = torch.from_numpy(materials.foregrounds.labels[fore])
        classes = len(materials.foregrounds.classes)
        return described(unit, label, classes, features), torch.from_numpy(image)
