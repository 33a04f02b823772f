"""Student's interval against a case by hand, the image lines, and all of them by simulation."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from terse.errors import RunError
from terse.proof.budgets import budget_tables
from terse.proof.intervals import bootstrap_interval, overall_interval, paired_gain, student
from terse.proof.results import Interval
from terse.proof.verdict import judge

REPETITIONS = 1000
RATIOS = (0.0, 1.0, 10.0)  # variance of a seed's gain over the variance that the images give the mean


def draw(generator: np.random.Generator, ratio: float, *, seeds: int, images: int, effect: float = 0.0) -> np.ndarray:
    """Per-image gains: the effect, a seed's own part, an image's own part shared by all seeds, and a rest."""
    of_seed = generator.normal(0, np.sqrt(ratio / images), (seeds, 1))
    return effect + of_seed + generator.normal(0, 1, (1, images)) + generator.normal(0, 0.5, (seeds, images))


def rejects(interval: Interval) -> bool:
    return interval.low is not None and interval.high is not None and (interval.low > 0 or interval.high < 0)


def test_student_by_hand() -> None:
    interval = student([1.0, 2.0, 3.0])
    half = 4.302652729749464 / np.sqrt(3)  # t of 2 degrees of freedom, standard deviation 1
    assert (interval.mean, interval.low, interval.high) == pytest.approx((2.0, 2 - half, 2 + half))


def test_student_is_scipys_paired_interval() -> None:
    values = np.random.default_rng(0).normal(0.3, 2, 9)
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    interval = student(values.tolist(), 0.9)
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("values", [[0.7], [0.7, 0.7, 0.7], [0.1 + 0.2, 0.3, 0.3]])
def test_student_has_no_bounds_without_spread(values: list[float]) -> None:
    interval = student(values)
    assert interval.to_json() == {"mean": pytest.approx(values[0]), "low": None, "high": None}


@pytest.mark.parametrize("ratio", RATIOS)
def test_student_excludes_a_true_zero_in_five_percent_where_each_seed_has_its_own_images(ratio: float) -> None:
    generator = np.random.default_rng(1)
    spread = np.sqrt(1 + ratio)
    hits = sum(rejects(student((spread * generator.normal(size=5)).tolist())) for _ in range(REPETITIONS))
    assert 0.03 <= hits / REPETITIONS <= 0.07


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_overall_excludes_a_true_zero_in_five_percent_where_seeds_share_their_images(ratio: float, seeds: int) -> None:
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(REPETITIONS):
        gains = draw(generator, ratio, seeds=seeds, images=60)
        hits += rejects(overall_interval(gains, float(gains.mean())))
    assert 0.03 <= hits / REPETITIONS <= 0.07


def test_student_alone_is_wrong_where_seeds_share_their_images() -> None:
    generator = np.random.default_rng(3)
    hits = sum(
        rejects(student(draw(generator, 1.0, seeds=5, images=60).mean(axis=1).tolist())) for _ in range(REPETITIONS)
    )
    assert hits / REPETITIONS > 0.2  # why the verdict asks the overall interval too


def test_overall_is_the_paired_t_over_images_where_seeds_agree() -> None:
    column = np.random.default_rng(4).normal(0.2, 1, 40)
    gains = np.tile(column, (5, 1))
    low, high = stats.ttest_1samp(column, 0).confidence_interval(0.95)
    interval = overall_interval(gains, float(gains.mean()))
    assert (interval.low, interval.high) == (pytest.approx(low), pytest.approx(high))


def test_overall_is_student_over_seeds_where_images_agree() -> None:
    values = np.random.default_rng(5).normal(0.2, 1, 6)
    gains = np.tile(values[:, None], (1, 40))
    interval, over_seeds = overall_interval(gains, float(gains.mean())), student(values.tolist())
    assert (interval.low, interval.high) == (pytest.approx(over_seeds.low), pytest.approx(over_seeds.high))


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_overall_is_no_wider_than_the_degrees_of_its_least_sure_part_allow(seeds: int) -> None:
    """Little more than noise of seeds and images: the difference of mean squares comes near zero, and its degrees with it."""
    generator = np.random.default_rng(7)
    for _ in range(300):
        gains = generator.normal(size=(seeds, 100))
        interval = overall_interval(gains, float(gains.mean()))
        assert interval.low is not None
        assert interval.high is not None
        of_seeds, of_images = gains.mean(axis=1).var(ddof=1) / seeds, gains.mean(axis=0).var(ddof=1) / 100
        widest = stats.t.ppf(0.975, seeds - 1) * np.sqrt(of_seeds + of_images)
        assert (interval.high - interval.low) / 2 <= widest + 1e-12


def test_overall_is_never_narrower_than_student() -> None:
    generator = np.random.default_rng(6)
    for _ in range(200):
        gains = generator.normal(size=(2, 10))
        over_seeds, overall = student(gains.mean(axis=1).tolist()), overall_interval(gains, float(gains.mean()))
        assert overall.low is not None
        assert over_seeds.low is not None
        assert overall.low <= over_seeds.low + 1e-12


def test_bootstrap_is_about_the_t_interval_over_images() -> None:
    column = np.random.default_rng(7).normal(0.2, 1, 400)
    gains = np.tile(column, (2, 1))
    low, high = stats.ttest_1samp(column, 0).confidence_interval(0.95)
    interval = bootstrap_interval(gains, float(gains.mean()))
    assert (interval.low, interval.high) == (pytest.approx(low, abs=0.01), pytest.approx(high, abs=0.01))
    assert bootstrap_interval(gains, float(gains.mean())) == interval


def test_identical_arms_have_no_bounds() -> None:
    results = {"none": {0: [1.0, 0.0, 1.0], 1: [1.0, 1.0, 1.0]}}
    results["random"] = results["none"]
    metric = {arm: {seed: float(np.mean(values)) for seed, values in runs.items()} for arm, runs in results.items()}
    gain = paired_gain(metric, results, "random", "none", 0.95)
    assert gain.bounds is None
    assert (gain.images, gain.overall, gain.image_error) == (Interval(mean=0.0), Interval(mean=0.0), 0.0)


def test_only_common_seeds_are_paired() -> None:
    gain = paired_gain({"a": {0: 1.0, 1: 2.0, 2: 9.0}, "b": {1: 1.5, 0: 0.0}}, {}, "a", "b", 0.95)
    assert gain.per_seed == [1.0, 0.5]


def test_arms_without_a_common_seed() -> None:
    with pytest.raises(RunError) as caught:
        paired_gain({"a": {0: 1.0}, "b": {1: 1.0}}, {}, "a", "b", 0.95)
    assert str(caught.value) == (
        "arms: expected a and b to share a seed, got [0] and [1]; run the missing ones with `terse prove --resume`"
    )


def test_arms_of_different_test_images() -> None:
    with pytest.raises(RunError) as caught:
        paired_gain({"a": {0: 1.0}, "b": {0: 1.0}}, {"a": {0: [1.0]}, "b": {0: [1.0, 1.0]}}, "a", "b", 0.95)
    assert str(caught.value) == (
        "arms: expected a and b to be tested on the same images, got results of 1, 2 images; "
        "start the proof again in an empty folder"
    )


def test_units_are_centred_on_the_metric() -> None:
    metric = {"a": {0: 0.5, 1: 0.7}, "b": {0: 0.4, 1: 0.4}}
    units = {"a": {0: [0.0, 2.0, 1.0], 1: [1.0, 1.0, 1.0]}, "b": {0: [0.0, 0.0, 0.0], 1: [0.0, 1.0, 0.0]}}
    shifted = {"a": {0: [5.0, 7.0, 6.0], 1: [-3.0, -3.0, -3.0]}, "b": units["b"]}
    first, second = (paired_gain(metric, values, "a", "b", 0.95) for values in (units, shifted))
    assert first.overall is not None
    assert second.overall is not None
    assert first.overall.mean == pytest.approx(0.2)
    assert (first.overall.low, first.overall.high) == pytest.approx((second.overall.low, second.overall.high))


def test_a_table_of_budgets_tells_the_same_gain_as_a_verdict_where_less_is_better() -> None:
    generator = np.random.default_rng(3)
    units = {arm: {seed: generator.exponential(1, 40).tolist() for seed in range(3)} for arm in ("mined", "learned")}
    halves = {arm: {seed: generator.exponential(1, 8).tolist() for seed in range(3)} for arm in units}
    per_seed = {arm: {seed: float(np.mean(of[seed])) for seed in of} for arm, of in units.items()}
    told = judge(per_seed, units=units, halves=halves, treatment="learned", reference="mined", larger_is_better=False)
    run = SimpleNamespace(passes_per_wanted=None, result=SimpleNamespace(cycles=[]))
    runs: Any = {arm: dict.fromkeys(range(3), run) for arm in units}
    (table,) = budget_tables(runs, per_seed, units, halves, larger_is_better=False)
    assert table.over_mined["learned"].model_dump() == told.gain.model_dump()
