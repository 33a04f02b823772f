"""From intervals to go, no-go or undecided, in a sentence, and how many more seeds would settle it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal

from terse.errors import RunError
from terse.proof.intervals import Gain, paired_gain, student
from terse.proof.results import ArmFigures, Judgement

__all__ = ["ARMS", "MIN_SEEDS", "arm_order", "comparison", "judge", "power", "seeds_needed"]

ARMS = ("none", "random", "mined", "cut_paste_learn", "context", "learned")
MIN_SEEDS = 5
"""Fewer seeds may say go, never no-go: ours."""
_MAX_SEEDS = 1000


def judge(
    per_seed: Mapping[str, Mapping[int, float]],
    *,
    units: Mapping[str, Mapping[int, Sequence[float]]] | None = None,
    halves: Mapping[str, Mapping[int, Sequence[float]]] | None = None,
    treatment: str | None = None,
    reference: str | None = None,
    worth: float = 0.0,
    confidence: float = 0.95,
    metric: str = "the metric",
    larger_is_better: bool = True,
) -> Judgement:
    """The verdict on one comparison named beforehand; other arms' gains stand beside it, not chosen from.

    Args:
        per_seed: the metric of each arm by seed; arms are paired by the seed's number.
        units: results whose mean is the metric, of the same images in the same order for every arm and seed
            (right or wrong for accuracy, leave-a-block-out pseudo-values for AP).
        halves: the metric on half-samples of the test's clusters, likewise.
        treatment: the arm in question; by default the last of `ARMS` that was run.
        reference: what it is compared with; by default the first of `ARMS` that was run.
        worth: the smallest gain worth having; a gain shown to be smaller is a no-go.
        confidence: of the intervals.
        metric: its name, for the sentence.
        larger_is_better: False for an error: a gain is then how much smaller it is.

    Raises:
        RunError: fewer than two arms, an unknown arm, or two arms without a common seed.

    Source: Student 1908; the rules of the verdict are ours.
    """
    names = sorted(per_seed, key=arm_order)
    treatment, reference = comparison(names, treatment, reference)
    runs = {name: dict(sorted(per_seed[name].items())) for name in names}
    arms = {name: _arm(list(values.values()), confidence) for name, values in runs.items()}
    if not larger_is_better:
        runs = {name: {seed: -value for seed, value in of.items()} for name, of in runs.items()}
        units, halves = (
            {name: {s: [-one for one in of[s]] for s in of} for name, of in (parts or {}).items()}
            for parts in (units, halves)
        )
    gains = {
        name: paired_gain(runs, units or {}, name, reference, confidence, halves) for name in names if name != reference
    }
    others = [name for name in names if name != treatment and set(runs[name]) & set(runs[treatment])]
    over = {name: paired_gain(runs, units or {}, treatment, name, confidence, halves) for name in others}
    gain = gains[treatment]
    verdict, reason, more = _decide(gain, (treatment, reference), worth, confidence, metric)
    return Judgement(
        verdict=verdict,
        reason=reason,
        treatment=treatment,
        reference=reference,
        gain=gain,
        arms=arms,
        gains={**gains},
        over={**over},
        worth=worth,
        more_seeds=more,
    )


def arm_order(name: str) -> tuple[int, str]:
    """Sorts arms as `ARMS` has them; others come after them by name."""
    return (ARMS.index(name) if name in ARMS else len(ARMS)), name


def power(effect: float, spread: float, seeds: int, confidence: float = 0.95, image_error: float = 0.0) -> float:
    """The chance that the interval excludes zero, by the noncentral t.

    Args:
        effect: the true gain.
        spread: standard deviation of the per-seed gains.
        seeds: how many.
        confidence: of the interval.
        image_error: the standard error that seeds do not lessen; 0 gives Student's interval over seeds.

    Source: Fisher 1931 (noncentral t); Satterthwaite 1946 for the freedom where images count.
    """
    import numpy as np
    from scipy.stats import ncf, t

    of_seeds = spread**2 / seeds
    variance = of_seeds + image_error**2
    if seeds < 2 or of_seeds <= 0:
        return 0.0
    freedom = (seeds - 1) * (variance / of_seeds) ** 2
    edge = float(t.ppf((1 + confidence) / 2, freedom))
    shift = effect / math.sqrt(variance)
    if abs(shift) < 1e-6:
        return 1 - confidence
    # The square of a noncentral t is a noncentral F: both tails at once, where scipy's nct gives nan far out.
    with np.errstate(divide="ignore"):  # older versions of SciPy divide by 0 on its way to the same figure
        return float(ncf.sf(edge**2, 1, freedom, shift**2))


def seeds_needed(
    effect: float, spread: float, confidence: float = 0.95, chance: float = 0.8, image_error: float = 0.0
) -> int | None:
    """The fewest seeds whose interval excludes zero with this chance; None past a thousand.

    Source: ours.
    """

    def enough(seeds: int) -> bool:
        return power(effect, spread, seeds, confidence, image_error) >= chance

    if not enough(_MAX_SEEDS):
        return None
    return bisect_left(range(_MAX_SEEDS + 1), x=True, lo=2, key=enough)


def _arm(values: list[float], confidence: float) -> ArmFigures:
    return ArmFigures(**dict(student(values, confidence)), per_seed=values)


def comparison(names: Sequence[str], treatment: str | None, reference: str | None) -> tuple[str, str]:
    """The arm in question and what it is compared with, of arms in the order of `arm_order`.

    Raises:
        RunError: fewer than two arms, an arm that is not among them, or one compared with itself.
    """
    if len(names) < 2:
        raise RunError(f"arms: expected two or more, got {', '.join(names) or 'none'}; a verdict compares two arms")
    reference = reference or names[0]
    known = [name for name in names if name in ARMS and name != reference]
    treatment = treatment or (known[-1] if known else [name for name in names if name != reference][-1])
    for field_name, name in (("treatment", treatment), ("reference", reference)):
        if name not in names:
            raise RunError(f"{field_name}: expected one of the arms {', '.join(names)}, got {name!r}")
    if treatment == reference:
        raise RunError(f"treatment: expected another arm than the reference, got {treatment!r} for both")
    return treatment, reference


def _decide(
    gain: Gain, names: tuple[str, str], worth: float, confidence: float, metric: str
) -> tuple[Literal["go", "no_go", "undecided"], str, int | None]:
    seeds, bounds, mean = len(gain.per_seed), gain.bounds, gain.mean
    against = f"{names[0]} over {names[1]}"
    places = _places(bounds, worth) if bounds else 0
    said = f"{metric} {mean:+.{places}f}" if bounds else f"{metric} {mean:+.4g}"
    if seeds == 1:
        reason = f"one seed gives no verdict: {against}, {said}; how much another seed would change it is unknown"
        return "undecided", f"{reason}. Run {MIN_SEEDS} seeds.", MIN_SEEDS - 1
    if bounds is None:
        reason = (
            f"all {seeds} seeds gave the same gain of {against}, {said}, so they count as one; "
            "see that the seed and the arm change anything at all"
        )
        return "undecided", f"{reason}.", None
    low, high = bounds
    interval = (
        f"{against}: {said}, {confidence:.0%} interval {low:+.{places}f} to {high:+.{places}f} over {seeds} seeds"
    )
    if gain.overall is not None:
        interval += " and the test images"
    if gain.spread == 0:
        interval += " (all seeds gave the same, only the images vary)"
    below = "zero" if high <= 0 else f"the {worth:g} worth having" if high < worth else ""
    if low > 0 and not below:
        return "go", f"{interval}, which is above zero.", 0
    if seeds >= MIN_SEEDS and below:
        return "no_go", f"{interval}, which is below {below}.", 0
    more = MIN_SEEDS - seeds if below else _more(gain, worth, confidence)
    return "undecided", f"{interval}, {_why(gain, below, more)}.", more


def _places(bounds: tuple[float, float], worth: float = 0.0) -> int:
    """Decimal places that show two digits of half an interval, and on which sides of zero and `worth` its bounds lie."""
    half = (bounds[1] - bounds[0]) / 2
    places = max(0, 1 - math.floor(math.log10(half))) if 0 < half < math.inf else 4
    pairs = [(bound, edge) for bound in bounds for edge in (0.0, worth) if bound != edge]
    most = max(places, 9)
    return next((n for n in range(places, most) if all(round(b, n) != round(e, n) for b, e in pairs)), most)


def _why(gain: Gain, below: str, more: int | None) -> str:
    why = f"which is below {below}, but fewer than {MIN_SEEDS} seeds give no no-go" if below else "which holds zero"
    if more is not None:
        chance = "may settle it" if below else "would settle it with a chance of 80 %"
        return f"{why}; {more} more seed{'s' if more > 1 else ''} {chance}"
    if gain.image_error > 0:
        return f"{why}; more seeds alone are not likely to settle it, more test images might"
    return f"{why}; not even {_MAX_SEEDS} seeds are likely to settle it"


def _more(gain: Gain, worth: float, confidence: float) -> int | None:
    """Seeds beyond those run, if the gain and spread seen are the true ones."""
    mean, done = gain.mean, len(gain.per_seed)
    if gain.spread == 0:
        return None
    effects = [mean] if mean >= worth else [worth - mean, *([mean] if mean > 0 else [])]
    needed = [seeds_needed(e, gain.spread, confidence, image_error=gain.image_error) for e in effects if e]
    known = [count for count in needed if count is not None]
    return max(min(known) - done, 1) if known else None
