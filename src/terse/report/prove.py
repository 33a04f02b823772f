"""A proof as a page: the verdict first, then what it rests on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from terse.report import figures
from terse.report.coverage_parts import coverage_beside, coverage_table
from terse.report.parts import BeforeAfter, Chart, Command, Fact, Gallery, PageData, Sheet, Table, Tone, Verdict
from terse.report.words import change, count, duration, in_text, metric_names, number, score, words
from terse.tasks.task import metric_of

__all__ = ["prove_page"]

_ANSWERS: Mapping[str, tuple[str, Tone]] = {
    "go": ("Go", "good"),
    "no_go": ("No go", "bad"),
    "undecided": ("Not enough evidence", "unsure"),
}
_SPENT = ("target_forwards", "target_backwards", "synthesizer_forwards", "seconds")
_SMALL = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six"}

Runs = Mapping[str, Sequence[Mapping[str, Any]]]  # by arm, one object of `result.json` a seed


def prove_page(
    recipe_yaml: str,
    proof: Mapping[str, Any],
    runs: Runs,
    *,
    out: str = "PROOF",
    name: str = "",
    gallery: Gallery | None = None,
    sheets: Sequence[Sheet] = (),
    before_after: Sequence[BeforeAfter] = (),
    before_after_note: str = "",
    hardness: Mapping[str, Sequence[float]] | None = None,
    coverage: Mapping[str, Mapping[str, Any]] | None = None,
    shortcut: Mapping[str, Any] | None = None,
) -> PageData:
    """The page of `terse prove`.

    Args:
        recipe_yaml: the resolved recipe that the arms share.
        proof: the object of `terse prove --json`.
        runs: each arm's runs.
        out: the proof's folder.
        name: of the recipe.
        gallery: composites of the arms.
        sheets: for instance a strip for each arm.
        before_after: answers of the reference's and the treatment's models.
        before_after_note: how these images were chosen.
        hardness: 1 - p under the frozen start, by arm (paper, Fig. 8).
        coverage: `Coverage.to_json()` by arm.
        shortcut: `ShortcutAudit.to_json()`.
    """
    primary = next(str(run["primary"]) for seeds in runs.values() for run in seeds)
    word, tone = _ANSWERS[proof["verdict"]]
    return PageData(
        title=_title(proof, primary),
        kind="prove",
        name=name,
        summary=_summary(proof, runs, primary),
        verdict=Verdict(word, _sentence(str(proof["reason"])), tone),
        facts=_facts(proof, runs, primary),
        alarms=list(dict.fromkeys([*proof.get("alarms", ()), *(shortcut["warnings"] if shortcut else ())])),
        charts=[
            *_charts(proof, runs, primary, hardness or {}, shortcut),
            *coverage_beside(coverage or {}, proof["treatment"]),
        ],
        tables=[
            _arm_table(proof, runs, primary),
            *([_metric_table(runs)] if len(_metrics(runs)) > 1 else []),
            _cost_table(runs),
            *([coverage_table(coverage)] if coverage else []),
            *([_shortcut_table(shortcut)] if shortcut else []),
        ],
        sheets=sheets,
        before_after=before_after,
        before_after_note=before_after_note,
        gallery=gallery or Gallery(),
        recipe=recipe_yaml,
        commands=_commands(out, proof),
    )


def _title(proof: Mapping[str, Any], primary: str) -> str:
    arm, against = words(proof["treatment"]), words(proof["reference"])
    gain = float(proof["gain"]["mean"])
    if proof["verdict"] == "go":
        return f"{arm[:1].upper()}{arm[1:]} gains {gain:.3f} {in_text(primary)} over {against}"
    if proof["verdict"] == "no_go":
        return f"{arm[:1].upper()}{arm[1:]} does not gain over {against}"
    return f"Whether {arm} gains over {against} is not settled yet"


def _summary(proof: Mapping[str, Any], runs: Runs, primary: str) -> list[str]:
    seeds = max(len(results) for results in runs.values())
    ways = f"{_SMALL.get(len(runs), str(len(runs)))} ways"
    times = f"{count(seeds, 'time')} each" if seeds > 1 else "once"
    equal = f"{ways} to make training images had the same real data, as many synthetic images and the same fine-tuning"
    counts = f"What counts is {in_text(primary)} on held-out images that neither trained nor chose a model."
    sentences = [f"{equal}, {times}. {counts}"]
    sentences += _rivals(proof, primary)
    more = proof.get("more_seeds")
    if more:
        sentences.append(
            f"{count(more, 'more seed')} would settle it with a chance of 80 %, if what was seen so far is typical."
        )
    return sentences


def _rivals(proof: Mapping[str, Any], primary: str) -> list[str]:
    """The treatment beside the best of the other arms: a gain over nothing is no gain over what is cheaper."""
    over = {arm: _of_record(gain) for arm, gain in proof.get("over", {}).items() if arm != proof["reference"]}
    if not over:
        return []
    metric = metric_of(primary)
    arm = max(over, key=lambda name: metric.gain(0.0, float(proof["arms"][name]["mean"])))
    gain, (treatment, rival) = over[arm], (_sentence(words(proof["treatment"])), words(arm))
    low, high = gain.get("low"), gain.get("high")
    if low is None or high is None:
        return [f"{treatment} over {rival}, the best of the other arms: {change(gain['mean'])}."]
    is_told = low > 0 or high < 0
    verb = ("is ahead of" if gain["mean"] > 0 else "is behind") if is_told else "cannot be told from"
    return [
        f"{treatment} {verb} {rival}, the best of the other arms: {change(gain['mean'])}, {_between(gain, '+.3f')}."
    ]


def _facts(proof: Mapping[str, Any], runs: Runs, primary: str) -> list[Fact]:
    gain, arms = _of_record(proof["gain"]), proof["arms"]
    tone = _ANSWERS[proof["verdict"]][1]
    seconds = float(proof.get("seconds", sum(run["seconds"] for seeds in runs.values() for run in seeds)))
    return [
        Fact(f"Gain, {in_text(primary)}", change(float(gain["mean"])), _between(gain) or _why_none(gain), tone),
        *(
            Fact(words(arm), score(arms[arm]["mean"]), _between(arms[arm]))
            for arm in (proof["treatment"], proof["reference"])
        ),
        Fact("Runs", number(sum(map(len, runs.values()))), f"{duration(seconds)} of work"),
    ]


def _charts(
    proof: Mapping[str, Any],
    runs: Runs,
    primary: str,
    hardness: Mapping[str, Sequence[float]],
    shortcut: Mapping[str, Any] | None,
) -> list[Chart]:
    reference = proof["reference"]
    charts = [
        Chart(
            "arms",
            f"{words(primary)} by arm",
            f"Dots are means with their interval, small marks the seeds; the dotted line is {words(reference)}.",
            figures.intervals(_intervals(proof["arms"]), words(primary), float(proof["arms"][reference]["mean"])),
        ),
        Chart(
            "gains",
            f"Gain over {words(reference)}",
            "Each seed is compared with its own twin, which began from the same weights and saw real images in the same "
            "order. An interval that stays right of zero is a gain.",
            figures.intervals(
                _intervals({arm: _of_record(gain) for arm, gain in proof["gains"].items()}),
                f"Gain, {in_text(primary)}",
                0.0,
            ),
        ),
    ]
    captions = {
        "samples": "Mean over the seeds at each cycle; the band reaches from the lowest seed to the highest. An arm "
        "without samples stands where the others' cycles do.",
        "target_forwards": "The same by cost: images that the target looked at, to find hard ones and to learn.",
    }
    for against, caption in captions.items():
        curves = [curve for arm, results in runs.items() if (curve := _curve(arm, results, primary, against))]
        curves = _place_of_none(curves)
        if curves:
            heading = f"{words(primary)} against {in_text(against)}"
            figure = figures.metric_curves(curves, primary, against)
            charts.append(Chart(f"curve-{against.replace('_', '-')}", heading, caption, figure))
    if hardness:
        caption = "1\u00a0-\u00a0p under the frozen start, the same judge for all arms. Mass on the right is what it gets wrong."
        charts.append(
            Chart("hardness", "How hard each arm's images are", caption, figures.hardness_histogram(hardness))
        )
    if shortcut:
        charts.append(_shortcut_chart(shortcut))
    return charts


def _shortcut_chart(shortcut: Mapping[str, Any]) -> Chart:
    dots = [figures.Interval(name, float(value), tone="learned") for name, value in shortcut["auc"].items()]
    figure = figures.intervals(dots, "AUC of the probe", float(shortcut["threshold"]))
    figure.update_xaxes(range=[0.45, 1.02])
    caption = (
        "How well a small network finds pasted objects by their rims and noise alone. 0.5 is chance; right of the dotted "
        "line a model could learn the paste in the place of the object."
    )
    return Chart("shortcut", "Could a model cheat?", caption, figure)


def _shortcut_table(shortcut: Mapping[str, Any]) -> Table:
    rows = [
        (name, f"{value:.2f}", "above the threshold" if value > shortcut["threshold"] else "")
        for name, value in shortcut["auc"].items()
    ]
    caption = (
        f"AUC of a probe that sees rims and noise alone, for each blend with artefact patches and without. 0.5 is chance, "
        f"{shortcut['threshold']:g} the threshold; alarms are of the condition that the recipe trains with."
    )
    return Table("Shortcut audit", ("Pasted by", "AUC", ""), rows, caption)


def _intervals(values: Mapping[str, Mapping[str, Any]]) -> list[figures.Interval]:
    return [
        figures.Interval(name, float(one["mean"]), one.get("low"), one.get("high"), one.get("per_seed", ()))
        for name, one in values.items()
    ]


def _curve(arm: str, results: Sequence[Mapping[str, Any]], primary: str, against: str) -> figures.Curve | None:
    """Means over seeds, cycle by cycle, as far as every seed has come."""
    steps = min(len(run["cycles"]) for run in results)
    if not steps or any(against not in cycle for run in results for cycle in run["cycles"]):
        return None
    y = [
        [float(run["metrics"]["start"][primary]), *(float(c[primary]) for c in run["cycles"][:steps])]
        for run in results
    ]
    x = [_spent(run, steps, against) for run in results]
    middle = [sum(column) / len(column) for column in zip(*y, strict=True)]
    places = [sum(column) / len(column) for column in zip(*x, strict=True)]
    if len(results) == 1:
        return figures.Curve(arm, places, middle)
    lows, highs = ([edge(column) for column in zip(*y, strict=True)] for edge in (min, max))
    return figures.Curve(arm, places, middle, lows, highs)


def _place_of_none(curves: Sequence[figures.Curve]) -> list[figures.Curve]:
    """An arm without samples stands where the others' cycles do: it had the same fine-tuning, on real images only."""
    longest = max(curves, key=lambda curve: max(curve.x), default=None)
    if longest is None or max(longest.x) == 0:
        return list(curves)
    return [replace(curve, x=longest.x[: len(curve.y)]) if not any(curve.x) else curve for curve in curves]


def _spent(run: Mapping[str, Any], steps: int, against: str) -> list[float]:
    """Samples are the pool's size after a cycle; costs are what a cycle spent, to be added up."""
    values = [float(cycle[against]) for cycle in run["cycles"][:steps]]
    if against == "samples":
        return [0.0, *values]
    return [sum(values[:k]) for k in range(steps + 1)]


def _arm_table(proof: Mapping[str, Any], runs: Runs, primary: str) -> Table:
    most = max(len(results) for results in runs.values())
    rows = []
    for arm, one in proof["arms"].items():
        gain = _of_record(proof["gains"][arm]) if arm in proof["gains"] else None
        seeds = [score(value) for value in one["per_seed"]]
        rows.append(
            (
                words(arm),
                score(one["mean"]),
                _between(one),
                change(gain["mean"]) if gain else "",
                _between(gain, "+.3f") if gain else "",
                *seeds,
                *[""] * (most - len(seeds)),
            )
        )
    columns = ("Arm", words(primary), "Interval", f"Gain over {words(proof['reference'])}", "Interval of the gain")
    return Table(
        "Arms",
        (*columns, *(f"Seed {k}" for k in range(1, most + 1))),
        rows,
        "Intervals of an arm are Student's over its seeds. Those of gains are paired by seed and, where results were kept "
        "image by image, count the chance of the test images too: the verdict rests on them.",
    )


def _metrics(runs: Runs) -> list[str]:
    return metric_names([run["metrics"]["end"] for results in runs.values() for run in results])


def _metric_table(runs: Runs) -> Table:
    names = _metrics(runs)
    rows = []
    for arm, results in runs.items():
        means = [sum(float(run["metrics"]["end"][key]) for run in results) / len(results) for key in names]
        rows.append((words(arm), *map(score, means)))
    return Table("Every metric", ("Arm", *map(words, names)), rows, "Means over the seeds, at the end.")


def _cost_table(runs: Runs) -> Table:
    rows = []
    for arm, results in runs.items():
        sums = [
            sum(float(cycle.get(key, 0)) for run in results for cycle in run["cycles"]) / len(results) for key in _SPENT
        ]
        samples = sum(float(run["cycles"][-1]["samples"]) for run in results if run["cycles"]) / len(results)
        rates = [run["cycles"][-1]["hard_rate"] for run in results if run["cycles"]]
        rate = f"{sum(rates) / len(rates):.0%}" if rates and arm != "none" else ""
        rows.append((words(arm), number(samples), rate, *map(number, sums)))
    columns = ("Arm", "Samples", "Hard rate at the end", *map(words, _SPENT))
    return Table(
        "What each arm spent",
        columns,
        rows,
        "Means over the seeds; a learned step costs a forward and a backward pass.",
    )


def _why_none(gain: Mapping[str, Any]) -> str:
    return "one seed has no interval" if len(gain["per_seed"]) == 1 else "no interval: all seeds alike"


def _of_record(gain: Mapping[str, Any]) -> Mapping[str, Any]:
    """A gain with the interval that the verdict rests on: of seeds and images together where that is known."""
    overall = gain.get("overall")
    return gain if overall is None else {**gain, "low": overall["low"], "high": overall["high"]}


def _between(one: Mapping[str, Any], form: str = ".3f") -> str:
    low, high = one.get("low"), one.get("high")
    return "" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _commands(out: str, proof: Mapping[str, Any]) -> list[Command]:
    seeds = max(len(one["per_seed"]) for one in proof["arms"].values())
    more = proof.get("more_seeds") or 0
    base = f"terse prove {shlex.quote(out + '/recipe.yaml')} --arms {','.join(proof['arms'])}"
    commands = [Command(f"{base} --seeds {seeds} --out {shlex.quote(out + '-again')}", "The same proof once more")]
    if more:
        line = f"{base} --seeds {seeds + more} --out {shlex.quote(out)} --resume"
        commands.insert(0, Command(line, f"Go on with {count(more, 'more seed')}"))
    return commands
