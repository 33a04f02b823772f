"""Go, no-go and undecided, with whole sentences; power against simulation; order changes nothing."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terse.errors import RunError
from terse.proof.intervals import overall_interval, student
from terse.proof.results import Judgement
from terse.proof.verdict import _places, judge, power, seeds_needed


def runs(*gains: float) -> dict[str, dict[int, float]]:
    return {"none": dict.fromkeys(range(len(gains)), 0.5), "learned": {i: 0.5 + g for i, g in enumerate(gains)}}


def test_go() -> None:
    verdict = judge(runs(0.10, 0.12, 0.11, 0.09, 0.13), metric="accuracy")
    assert verdict.verdict == "go"
    assert verdict.more_seeds == 0
    assert verdict.reason == (
        "learned over none: accuracy +0.110, 95% interval +0.090 to +0.130 over 5 seeds, which is above zero."
    )


def test_three_seeds_may_go() -> None:
    assert judge(runs(0.10, 0.12, 0.11)).verdict == "go"


def test_four_seeds_below_zero_are_undecided() -> None:
    verdict = judge(runs(-0.10, -0.12, -0.11, -0.09))
    assert verdict.verdict == "undecided"
    assert verdict.reason == (
        "learned over none: the metric -0.105, 95% interval -0.126 to -0.084 over 4 seeds, which is below zero, "
        "but fewer than 5 seeds give no no-go; 1 more seed may settle it."
    )


def test_five_seeds_below_zero_are_a_no_go() -> None:
    verdict = judge(runs(-0.10, -0.12, -0.11, -0.09, -0.1))
    assert verdict.verdict == "no_go"
    assert verdict.reason == (
        "learned over none: the metric -0.104, 95% interval -0.118 to -0.090 over 5 seeds, which is below zero."
    )


def test_noise_is_undecided_and_says_how_many_more() -> None:
    gains = [0.10, -0.05, 0.08, 0.02, -0.01, 0.04]
    verdict = judge(runs(*gains))
    needed = seeds_needed(float(np.mean(gains)), float(np.std(gains, ddof=1)))
    assert needed is not None
    assert verdict.verdict == "undecided"
    assert verdict.more_seeds == needed - 6
    assert verdict.reason == (
        "learned over none: the metric +0.030, 95% interval -0.029 to +0.089 over 6 seeds, which holds zero; "
        f"{needed - 6} more seeds would settle it with a chance of 80 %."
    )


@pytest.mark.parametrize("gain", [0.9, -0.9, 0.0])
def test_one_seed_gives_no_verdict_whatever_it_says(gain: float) -> None:
    verdict = judge(
        runs(gain), units={"none": {0: [0.0, 1.0] * 50}, "learned": {0: [gain, 1.0 + gain] * 50}}, metric="ap50"
    )
    assert (verdict.verdict, verdict.more_seeds, verdict.gain.bounds) == ("undecided", 4, None)
    assert verdict.reason == (
        f"one seed gives no verdict: learned over none, ap50 {gain:+.4g}; how much another seed would change it "
        "is unknown. Run 5 seeds."
    )


def test_equal_gains_count_as_one_seed() -> None:
    verdict = judge(runs(0.25, 0.25, 0.25, 0.25, 0.25))
    assert (verdict.verdict, verdict.more_seeds) == ("undecided", None)
    assert verdict.reason == (
        "all 5 seeds gave the same gain of learned over none, the metric +0.25, so they count as one; "
        "see that the seed and the arm change anything at all."
    )


def test_equal_gains_are_judged_by_the_images_where_they_are_known() -> None:
    right = np.random.default_rng(0).random(200) < 0.5
    better = right | (np.random.default_rng(1).random(200) < 0.4)
    units = {
        "none": dict.fromkeys(range(5), right.astype(float).tolist()),
        "learned": dict.fromkeys(range(5), better.astype(float).tolist()),
    }
    metric = {arm: {seed: float(np.mean(values)) for seed, values in of.items()} for arm, of in units.items()}
    verdict = judge(metric, units=units)
    assert verdict.verdict == "go"
    assert (verdict.gain.low, verdict.gain.high) == (None, None)
    assert verdict.reason == (
        "learned over none: the metric +0.220, 95% interval +0.162 to +0.278 over 5 seeds and the test images "
        "(all seeds gave the same, only the images vary), which is above zero."
    )


def test_seeds_that_agree_on_few_images_are_no_go_ahead() -> None:
    """Five runs alike to a hair on twelve images: Student over seeds is sure, the images are not."""
    generator = np.random.default_rng(3)
    image = generator.normal(0.2, 1, 12)
    units = {
        "none": {s: [0.0] * 12 for s in range(5)},
        "learned": {s: (image + generator.normal(0, 0.01, 12)).tolist() for s in range(5)},
    }
    metric = {arm: {seed: float(np.mean(values)) for seed, values in of.items()} for arm, of in units.items()}
    verdict = judge(metric, units=units)
    assert verdict.gain.low is not None
    assert verdict.gain.low > 0
    assert verdict.verdict == "undecided"
    assert verdict.more_seeds is None
    assert verdict.reason.endswith(
        "which holds zero; more seeds alone are not likely to settle it, more test images might."
    )


def test_a_gain_shown_to_be_below_its_worth_is_a_no_go() -> None:
    few = judge(runs(0.010, 0.012, 0.011), worth=0.05)
    many = judge(runs(0.010, 0.012, 0.011, 0.010, 0.012), worth=0.05)
    assert (few.verdict, many.verdict) == ("undecided", "no_go")
    assert many.reason.endswith("over 5 seeds, which is below the 0.05 worth having.")
    assert "below the 0.05 worth having, but fewer than 5 seeds give no no-go; 2 more seeds" in few.reason


def test_the_object_of_the_command_line() -> None:
    per_seed = {"none": {0: 0.5, 1: 0.6}, "random": {0: 0.6, 1: 0.6}, "learned": {0: 0.7, 1: 0.9}}
    found = json.loads(
        json.dumps(
            judge(per_seed, units={arm: {s: [v, v] for s, v in of.items()} for arm, of in per_seed.items()}).to_json()
        )
    )
    assert set(found) >= {"verdict", "arms", "gain", "reason"}
    assert list(found["arms"]) == ["none", "random", "learned"]
    assert found["arms"]["none"]["per_seed"] == [0.5, 0.6]
    assert set(found["arms"]["none"]) == {"mean", "low", "high", "per_seed"}
    assert found["gain"]["mean"] == pytest.approx(0.25)
    expected = student([0.2, 0.3])
    assert (found["gain"]["low"], found["gain"]["high"]) == (pytest.approx(expected.low), pytest.approx(expected.high))
    assert list(found["gains"]) == ["random", "learned"]
    assert {name: one["mean"] for name, one in found["over"].items()} == pytest.approx({"none": 0.25, "random": 0.2})
    assert found["over"]["none"] == found["gain"]


@settings(max_examples=10, deadline=None)
@given(st.permutations(["none", "random", "mined", "context", "learned", "another"]), st.permutations(range(4)))
def test_the_order_of_arms_and_seeds_changes_no_number(arms: list[str], seeds: list[int]) -> None:
    def table(names: list[str], order: list[int]) -> Judgement:
        generator = np.random.default_rng(0)
        values = {name: generator.random((4, 10)) for name in sorted(names)}
        units = {name: {s: values[name][s].tolist() for s in order} for name in names}
        return judge({n: {s: float(np.mean(v)) for s, v in of.items()} for n, of in units.items()}, units=units)

    assert table(arms, seeds).to_json() == table(sorted(arms), [0, 1, 2, 3]).to_json()


def test_learned_is_the_question_and_none_the_reference() -> None:
    values = {name: {0: 0.1, 1: 0.2} for name in ("learned", "none", "random", "another")}
    verdict = judge(values)
    assert (verdict.treatment, verdict.reference) == ("learned", "none")
    fewer = judge({name: values[name] for name in ("another", "random")})
    assert (fewer.treatment, fewer.reference) == ("another", "random")
    chosen = judge(values, treatment="random", reference="another")
    assert (chosen.treatment, chosen.reference) == ("random", "another")


@pytest.mark.parametrize(
    ("arms", "choice", "message"),
    [
        (["none"], {}, "arms: expected two or more, got none; a verdict compares two arms"),
        (
            ["none", "random"],
            {"treatment": "learned"},
            "treatment: expected one of the arms none, random, got 'learned'",
        ),
        (
            ["none", "random"],
            {"treatment": "none"},
            "treatment: expected another arm than the reference, got 'none' for both",
        ),
    ],
)
def test_refused_comparisons(arms: list[str], choice: dict[str, str], message: str) -> None:
    with pytest.raises(RunError) as caught:
        judge({name: {0: 0.1} for name in arms}, **choice)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("ratio", [0.0, 1.0, 10.0])
def test_power_over_seeds_is_as_computed(ratio: float) -> None:
    generator = np.random.default_rng(8)
    spread, effect = np.sqrt(1 + ratio), 1.5
    hits = 0
    for _ in range(1000):
        low = student((effect + spread * generator.normal(size=6)).tolist()).low
        hits += low is not None and low > 0
    computed = power(effect, spread, 6)
    assert hits / 1000 == pytest.approx(computed, abs=3 * np.sqrt(computed * (1 - computed) / 1000) + 0.005)


@pytest.mark.parametrize("ratio", [1.0, 10.0])
def test_power_over_seeds_and_images_is_as_computed(ratio: float) -> None:
    generator = np.random.default_rng(9)
    seeds, images, effect = 6, 80, 0.4
    hits = 0
    for _ in range(1000):
        gains = effect + generator.normal(0, np.sqrt(ratio / images), (seeds, 1)) + generator.normal(0, 1, (1, images))
        low = overall_interval(gains, float(gains.mean())).low
        hits += low is not None and low > 0
    computed = power(effect, np.sqrt(ratio / images), seeds, image_error=1 / np.sqrt(images))
    assert hits / 1000 == pytest.approx(computed, abs=0.04)


def test_power_by_hand() -> None:
    assert power(0.0, 1.0, 5) == pytest.approx(0.05)
    assert power(1.0, 1.0, 10) == pytest.approx(0.803, abs=5e-4)  # tables of the paired t test, d = 1
    assert power(-1.0, 1.0, 10) == power(1.0, 1.0, 10)
    assert power(1.0, 1.0, 1) == 0.0


def test_seeds_needed_is_the_fewest() -> None:
    for effect, image_error in itertools.product((0.4, 1.0, 3.0), (0.0, 0.1)):
        count = seeds_needed(effect, 1.0, image_error=image_error)
        assert count is not None
        assert power(effect, 1.0, count, image_error=image_error) >= 0.8
        assert power(effect, 1.0, count - 1, image_error=image_error) < 0.8
    assert seeds_needed(0.01, 1.0) is None
    assert seeds_needed(0.1, 1.0, image_error=0.1) is None


@pytest.mark.parametrize(
    ("bounds", "places"),
    [
        ((0.01718, 0.1728), 3),
        ((0.0004, 0.06), 4),
        ((-21.0, 40.0), 0),
        ((-1.2, 1.4), 1),
        ((0.1, 0.1), 4),
        ((0.0, 0.02), 3),
    ],
)
def test_the_bounds_of_an_interval_have_as_many_places(bounds, places):
    assert _places(bounds) == places


@pytest.mark.parametrize(
    ("bounds", "worth", "places"),
    [
        ((-0.5, 0.0099), 0.01, 4),
        ((-0.5, 0.01), 0.01, 2),
        ((0.0124, 0.5), 0.0125, 3),
        ((1e-12, 3e-12), 0.0, 13),
        ((-math.inf, math.inf), 0.0, 4),
    ],
)
def test_the_places_tell_a_bound_from_what_is_worth_having(bounds, worth, places):
    assert _places(bounds, worth) == places


def test_what_is_shown_is_the_interval_that_the_verdict_rests_on() -> None:
    """Half-samples of clusters that hardly differ, seeds that differ much: the seeds decide."""
    noise = np.random.default_rng(0).normal(0, 0.005, (4, 128))
    per_seed = {"none": {0: 0.2, 1: 0.2}, "learned": {0: 0.22, 1: 0.30}}
    halves = {
        arm: {seed: (value + noise[2 * (arm == "learned") + seed]).tolist() for seed, value in of.items()}
        for arm, of in per_seed.items()
    }
    found = judge(per_seed, halves=halves)
    shown = found.gain.of_record
    assert (shown.low, shown.high) == found.gain.bounds
    assert shown.low < 0 < shown.high
    assert found.verdict == "undecided"
