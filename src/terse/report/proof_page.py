"""A proof as a page: the verdict first, then what it rests on, from the files of its folder."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from terse.pictures.again import trust_flag
from terse.pictures.page_folder import Shown, read_page
from terse.proof.results import GainFigures, Interval, Point, ProofResult, read_proof
from terse.report import figures
from terse.report.coverage import coverage_beside, coverage_table
from terse.report.figures import curve_chart, hardness_charts
from terse.report.page import build_page
from terse.report.paper import note_of, paper_curves, paper_tables
from terse.report.parts import (
    Chart,
    Command,
    Fact,
    Headline,
    PageData,
    Table,
    Tone,
    change,
    count,
    duration,
    in_text,
    metric_names,
    number,
    score,
    words,
)
from terse.results import Coverage, Shortcut, read_object, read_text
from terse.tasks.task import metric_of
from terse.yaml_text import read_yaml

__all__ = ["build_proof_page", "proof_page", "prove_page"]

_ANSWERS: Mapping[str, tuple[str, Tone]] = {
    "go": ("Go", "good"),
    "no_go": ("No go", "bad"),
    "undecided": ("Not enough evidence", "unsure"),
}
_SMALL = {2: "Two", 3: "Three", 4: "Four", 5: "Five", 6: "Six"}


def build_proof_page(folder: Path) -> Path:
    """Write `report.html` into a finished proof's folder.

    Raises:
        RunError: it cannot be written.
    """
    return build_page(proof_page(folder), folder / "report.html")


def proof_page(folder: Path) -> PageData:
    """The page of a finished proof, from its files alone.

    Raises:
        RunError: a file is missing, of another format, or cannot be read.
    """
    recipe_yaml, proof, shown = read_text(folder / "recipe.yaml"), read_proof(folder), read_page(folder)
    covered = read_object(folder / "coverage.json", "the coverage of a proof's arms")
    seed = str(shown.figures.seed)
    return prove_page(
        recipe_yaml,
        proof,
        out=str(folder),
        name=str(read_yaml(recipe_yaml, str(folder / "recipe.yaml")).get("name", "")),
        shown=shown,
        coverage={arm: Coverage.model_validate(of[seed]) for arm, of in covered.items() if seed in of},
    )


def prove_page(
    recipe_yaml: str,
    proof: ProofResult,
    *,
    out: str = "PROOF",
    name: str = "",
    shown: Shown | None = None,
    coverage: Mapping[str, Coverage] | None = None,
) -> PageData:
    """The page of `terse prove`.

    Args:
        recipe_yaml: the resolved recipe that the arms share.
        proof: its result.
        out: the proof's folder.
        name: of the recipe.
        shown: composites of the arms, and answers of the start and of the treatment's model.
        coverage: of one seed, by arm.
    """
    primary, shortcut = proof.primary, proof.shortcut
    settings = read_yaml(recipe_yaml, "recipe") if recipe_yaml else {}
    ours = {arm: {**proof.by_class.get(arm, {}), **of} for arm, of in proof.metrics.items()}
    word, tone = _ANSWERS[proof.verdict]
    return PageData(
        title=_title(proof, primary),
        kind="prove",
        name=name,
        summary=[*_summary(proof, primary), *note_of(settings)],
        headline=Headline(word, _sentence(proof.reason), tone),
        facts=_facts(proof, primary),
        alarms=list(dict.fromkeys(proof.alarms)),
        charts=[
            *_charts(proof, primary, paper_curves(settings, primary)),
            *coverage_beside(coverage or {}, proof.treatment),
        ],
        tables=[
            _arm_table(proof, primary),
            *paper_tables(settings, ours, proof.shares_of_hard),
            *([_class_table(proof, primary)] if max(map(len, proof.by_class.values()), default=0) > 1 else []),
            *([_metric_table(proof)] if len(_metrics(proof)) > 1 else []),
            *_budget_tables(proof, primary),
            *_group_tables(proof, primary),
            _cost_table(proof),
            *([coverage_table(coverage)] if coverage else []),
            *([_shortcut_table(shortcut)] if shortcut else []),
        ],
        shown=shown or Shown(),
        recipe=recipe_yaml,
        commands=_commands(out, proof, trust_flag(settings)),
    )


def _title(proof: ProofResult, primary: str) -> str:
    arm, against = words(proof.treatment), words(proof.reference)
    gain = proof.gain.mean
    if proof.verdict == "go":
        return f"{arm[:1].upper()}{arm[1:]} gains {gain:.3f} {in_text(primary)} over {against}"
    if proof.verdict == "no_go":
        if proof.worth and (proof.gain.of_record.high or 0.0) > 0:
            return f"{arm[:1].upper()}{arm[1:]} gains less over {against} than is worth having"
        return f"{arm[:1].upper()}{arm[1:]} does not gain over {against}"
    return f"Whether {arm} gains over {against} is not settled yet"


def _summary(proof: ProofResult, primary: str) -> list[str]:
    seeds = _most_seeds(proof)
    ways = f"{_SMALL.get(len(proof.arms), str(len(proof.arms)))} ways"
    least = min(len(arm.per_seed) for arm in proof.arms.values())
    times = f"{f'{least} to ' if least < seeds else ''}{count(seeds, 'time')} each" if seeds > 1 else "once"
    found = {cost.samples for cost in proof.costs.values() if cost.samples}
    images = "as many synthetic images" if len(found) < 2 else "unequal numbers of synthetic images"
    images += " (none: real images alone)" if "none" in proof.arms else ""
    equal = f"{ways} to train had the same real data, {images} and the same fine-tuning"
    counts = f"What counts is {in_text(primary)} on test images that neither trained nor chose a model."
    sentences = [f"{equal}, {times}. {counts}"]
    sentences += _rivals(proof, primary)
    return sentences


def _rivals(proof: ProofResult, primary: str) -> list[str]:
    """The treatment beside the best of the other arms: a gain over nothing is no gain over what is cheaper."""
    over = {arm: gain.of_record for arm, gain in proof.over.items() if arm != proof.reference}
    if not over:
        return []
    metric = metric_of(primary)
    arm = max(over, key=lambda name: metric.gain(0.0, proof.arms[name].mean))
    gain, (treatment, rival) = over[arm], (_sentence(words(proof.treatment)), words(arm))
    low, high = gain.low, gain.high
    if low is None or high is None:
        return [f"{treatment} over {rival}, the best of the other arms: {change(gain.mean)}."]
    is_told = low > 0 or high < 0
    verb = ("is ahead of" if gain.mean > 0 else "is behind") if is_told else "cannot be told from"
    return [f"{treatment} {verb} {rival}, the best of the other arms: {change(gain.mean)}, {_between(gain, '+.3f')}."]


def _facts(proof: ProofResult, primary: str) -> list[Fact]:
    gain, arms = proof.gain.of_record, proof.arms
    tone = _ANSWERS[proof.verdict][1]
    return [
        Fact(f"Gain, {in_text(primary)}", change(gain.mean), _between(gain) or _why_none(proof.gain), tone),
        *(Fact(words(arm), score(arms[arm].mean), _between(arms[arm])) for arm in (proof.treatment, proof.reference)),
        Fact("Runs", number(sum(len(arm.per_seed) for arm in arms.values())), f"{duration(proof.seconds)} of work"),
    ]


def _charts(proof: ProofResult, primary: str, beside: Sequence[figures.Curve]) -> list[Chart]:
    reference = proof.reference
    charts = [
        Chart(
            "arms",
            f"{words(primary)} by arm",
            f"Dots are means with their interval, small marks the seeds; the dotted line is {words(reference)}.",
            figures.intervals(
                [_dot(name, arm, arm.per_seed) for name, arm in proof.arms.items()],
                words(primary),
                proof.arms[reference].mean,
            ),
        ),
        Chart(
            "gains",
            f"Gain over {words(reference)}",
            "Each seed is compared with its own twin, which began from the same weights and saw real images in the same "
            "order. An interval that stays right of zero is a gain.",
            figures.intervals(
                [_dot(arm, gain.of_record, gain.per_seed) for arm, gain in proof.gains.items()],
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
        curves = [_curve(arm, points, primary, against) for arm, points in proof.curves.items() if len(points) > 1]
        if curves:
            curves = [*_place_of_none(curves), *(beside if against == "samples" else ())]
            charts.append(curve_chart(curves, primary, against, caption))
    caption = (
        "1\u00a0-\u00a0p under the frozen start, the same judge for all arms. Mass on the right is what it gets wrong."
    )
    charts += hardness_charts(proof.hardness, "How hard each arm's images are", caption)
    if proof.shortcut:
        charts.append(_shortcut_chart(proof.shortcut))
    return charts


def _shortcut_chart(shortcut: Shortcut) -> Chart:
    dots = [figures.Dot(name, value, tone="learned") for name, value in shortcut.auc.items()]
    figure = figures.intervals(dots, "AUC of the probe", shortcut.threshold)
    figure.update_xaxes(range=[0.45, 1.02])
    caption = (
        "How well a small network finds pasted objects by their rims and noise alone. 0.5 is chance; right of the dotted "
        "line a model could learn the paste instead of the object."
    )
    return Chart("shortcut", "Could a model cheat?", caption, figure)


def _shortcut_table(shortcut: Shortcut) -> Table:
    rows = [
        (name, f"{value:.2f}", "above the threshold" if value > shortcut.threshold else "")
        for name, value in shortcut.auc.items()
    ]
    caption = (
        f"AUC of a probe that sees rims and noise alone, for each blend with artefact patches and without. 0.5 is chance, "
        f"{shortcut.threshold:g} the threshold; alarms are of the condition that the recipe trains with."
    )
    return Table("Shortcut audit", ("Pasted by", "AUC", ""), rows, caption)


def _dot(name: str, interval: Interval, per_seed: Sequence[float]) -> figures.Dot:
    return figures.Dot(name, interval.mean, interval.low, interval.high, per_seed)


def _curve(arm: str, points: Sequence[Point], primary: str, against: str) -> figures.Curve:
    x, y = [float(getattr(point, against)) for point in points], [point.figure(primary) for point in points]
    lows = [point.low for point in points if point.low is not None]
    highs = [point.high for point in points if point.high is not None]
    is_band = len(lows) == len(highs) == len(points)
    return figures.Curve(arm, x, y, lows if is_band else None, highs if is_band else None)


def _place_of_none(curves: Sequence[figures.Curve]) -> list[figures.Curve]:
    """An arm without samples stands where the others' cycles do: it had the same fine-tuning, on real images only."""
    longest = max(curves, key=lambda curve: max(curve.x), default=None)
    if longest is None or max(longest.x) == 0:
        return list(curves)
    return [replace(curve, x=longest.x[: len(curve.y)]) if not any(curve.x) else curve for curve in curves]


def _arm_table(proof: ProofResult, primary: str) -> Table:
    most = _most_seeds(proof)
    rows = []
    for arm, one in proof.arms.items():
        gain = proof.gains[arm].of_record if arm in proof.gains else None
        seeds = [score(value) for value in one.per_seed]
        rows.append(
            (
                words(arm),
                score(one.mean),
                _between(one),
                change(gain.mean) if gain else "",
                _between(gain, "+.3f") if gain else "",
                *seeds,
                *[""] * (most - len(seeds)),
            )
        )
    columns = ("Arm", words(primary), "Interval", f"Gain over {words(proof.reference)}", "Interval of the gain")
    return Table(
        "Arms",
        (*columns, *(f"Seed {seed}" for seed in proof.seeds[:most])),
        rows,
        "Intervals of an arm are Student's over its seeds. Those of gains are paired by seed and, where results were kept "
        "image by image, count the chance of the test images too: the verdict rests on them.",
    )


def _metrics(proof: ProofResult) -> list[str]:
    return metric_names(list(proof.metrics.values())) if proof.metrics else []


def _metric_table(proof: ProofResult) -> Table:
    names = _metrics(proof)
    rows = [(words(arm), *(score(of[name] or 0.0) for name in names)) for arm, of in proof.metrics.items()]
    return Table("Every metric", ("Arm", *map(words, names)), rows, "Means over the seeds, at the end.")


def _class_table(proof: ProofResult, primary: str) -> Table:
    names = list(dict.fromkeys(name for of in proof.by_class.values() for name in of))
    rows = [
        (name, *("" if (value := of.get(name)) is None else score(value) for of in proof.by_class.values()))
        for name in names
    ]
    arms = map(words, proof.by_class)
    return Table(f"{words(primary)} by class", ("Class", *arms), rows, "Means over the seeds, at the end.")


def _budget_tables(proof: ProofResult, primary: str) -> list[Table]:
    """Equal pools and steps: with judging free, and under each bound of judging passes."""
    tables = []
    for table in proof.tables if len(proof.tables) > 1 or any(one.over_mined for one in proof.tables) else []:
        bound = table.passes_per_wanted
        rows = []
        for arm in table.arms:
            over, spent = table.over_mined.get(arm), proof.costs[arm]
            gains = ("", "") if over is None else (change(over.mean), _between(over.of_record, "+.3f"))
            counted = (number(spent.judging_passes or 0), number(spent.topped_up or 0))
            rows.append((words(arm), score(proof.arms[arm].mean), *gains, *counted))
        heading = (
            "Quality: judging is free" if bound is None else f"Budget: {bound:g} judging passes for a wanted composite"
        )
        caption = (
            "Equal pools and target steps. The gain over mining is paired by seed; where passes are bounded, base draws "
            "that nobody judged fill what an arm did not find."
        )
        columns = ("Arm", words(primary), "Over mined", "95 % interval", "Judging passes", "Not judged")
        tables.append(Table(heading, columns, rows, caption))
    return tables


def _group_tables(proof: ProofResult, primary: str) -> list[Table]:
    """The primary metric by what the test images' own fields say."""
    fields = dict.fromkeys(field for groups in proof.groups.values() for field in groups)
    tables = []
    for field in fields:
        values = list(dict.fromkeys(value for groups in proof.groups.values() for value in groups.get(field, {})))
        rows = []
        for arm, groups in proof.groups.items():
            figures = [groups.get(field, {}).get(value, {}).get(primary) for value in values]
            rows.append((words(arm), *("" if figure is None else score(float(figure)) for figure in figures)))
        caption = f"{_sentence(in_text(primary))} on the test images of each value, means over the seeds."
        tables.append(Table(f"By {field}", ("Arm", *map(words, values)), rows, caption))
    return tables


def _cost_table(proof: ProofResult) -> Table:
    names = ("target_forwards", "target_backwards", "judging_passes", "synthesizer_forwards", "seconds")
    rows = []
    for arm, spent in proof.costs.items():
        rate = "" if spent.hard_rate is None or arm == "none" else f"{spent.hard_rate:.0%}"
        costs = [getattr(spent, name) for name in names]
        rows.append(
            (words(arm), number(spent.samples), rate, *("" if cost is None else number(cost) for cost in costs))
        )
    return Table(
        "What each arm spent",
        ("Arm", "Samples", "Hard rate at the end", *map(words, names)),
        rows,
        "Means over the seeds; a learned step costs a forward and a backward pass. Judging passes are those of the target's "
        "that were spent to propose and to choose, a backward pass as two.",
    )


def _most_seeds(proof: ProofResult) -> int:
    return max(len(arm.per_seed) for arm in proof.arms.values())


def _why_none(gain: GainFigures) -> str:
    return "one seed has no interval" if len(gain.per_seed) == 1 else "no interval: all seeds alike"


def _between(one: Interval, form: str = ".3f") -> str:
    return "" if one.low is None or one.high is None else f"{one.low:{form}} to {one.high:{form}}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _commands(out: str, proof: ProofResult, flags: Sequence[str]) -> list[Command]:
    seeds, more = _most_seeds(proof), proof.more_seeds or 0
    arms = [":".join([name, *proof.arm_overrides.get(name, [])]) for name in proof.arms]
    base = f"terse prove {shlex.quote(out + '/recipe.yaml')} --arms {shlex.quote(','.join(arms))}"
    question = f" --treatment {proof.treatment} --reference {proof.reference}"
    question += f" --worth {proof.worth:g}" if proof.worth else ""
    question += "".join(f" {flag}" for flag in flags)
    again = f"{base} --seeds {seeds}{question} --out {shlex.quote(out + '-again')}"
    commands = [Command(again, "The same proof once more")]
    if more:
        line = f"{base} --seeds {seeds + more}{question} --out {shlex.quote(out)} --resume"
        commands.insert(0, Command(line, f"Go on with {count(more, 'more seed')}"))
    return commands
