"""A training run as a page, from the files of its folder: which numbers, in which order, in which words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from terse.errors import RunError
from terse.page_figures import Realism
from terse.pictures.again import trust_flag
from terse.pictures.judging import Judging, judging_images
from terse.pictures.page_folder import Shown, read_page
from terse.report import figures
from terse.report.beside import beside_sheets, beside_table, named_runs
from terse.report.coverage import coverage_charts, coverage_table
from terse.report.failures import failure_tables, patch_tables
from terse.report.figures import curve_chart, hardness_charts
from terse.report.page import build_page
from terse.report.paper import choice_of, note_of, paper_curves, paper_tables
from terse.report.parts import (
    Chart,
    Command,
    Fact,
    PageData,
    Table,
    Tone,
    count,
    duration,
    in_text,
    metric_names,
    number,
    score,
    words,
)
from terse.results import Coverage, Cycle, HardnessCounts, RunResult, read_run, read_text
from terse.run_folder import finished_folder
from terse.tasks.task import known_metrics, metric_of
from terse.yaml_text import read_yaml

__all__ = ["build_run_page", "run_page", "train_page"]

PHASES = ("synthesizer", "harvest", "target", "evaluate")  # in the order of a cycle
_CURVES = {
    "samples": "Each mark is a cycle; the first is the model as it came. Steep means that few images taught much.",
    "target_forwards": "The same by cost: every image that the target looked at, to find hard ones and to learn.",
}
COSTS = ("samples", "target_forwards", "target_backwards", "judging_passes", "synthesizer_forwards")
CRITIC = ("yield_over_mining", "rank_correlation", "drift")


def build_run_page(folder: Path, beside: Sequence[Path] = ()) -> Path:
    """Write `report.html` into the folder of a finished run.

    Args:
        folder: of it.
        beside: other runs, whose composites and figures the page shows beside its own.

    Raises:
        RunError: a file of a run is missing, of another format, or cannot be read or written.
    """
    return build_page(run_page(folder, beside), folder / "report.html")


def run_page(folder: Path, beside: Sequence[Path] = ()) -> PageData:
    """The page of a finished run, from its files alone."""
    written = finished_folder(folder) / "recipe.yaml"
    recipe_yaml = read_text(written)
    settings = read_yaml(recipe_yaml, str(written))
    if not isinstance(settings.get("synthesis"), dict):
        raise RunError(f"{written}: expected the recipe of a run, got one without synthesis")
    shown = read_page(folder)
    realism, images = shown.figures.realism, judging_images(settings)
    runs = named_runs([folder, *beside]) if beside else []
    if beside:
        shown = replace(shown, sheets=[*shown.sheets, *beside_sheets([folder, *beside])])
    result = read_run(folder)
    ends = {"none": result.metrics.start, str(settings["synthesis"].get("kind")): result.metrics.end}
    ours = {
        arm: {**{name: one.get(result.primary) for name, one in end.by_class.items()}, **end.figures}
        for arm, end in ends.items()
    }
    return train_page(
        recipe_yaml,
        result,
        name=str(settings.get("name", "")),
        shown=shown,
        notes=note_of(settings),
        beside=paper_curves(settings, result.primary),
        tables=[
            *paper_tables(settings, ours),
            *failure_tables(shown.figures.failures, result.cycles, images),
            *patch_tables(shown.figures.patched, runs, images),
            *([_realism_table(realism)] if realism else []),
            *([beside_table([folder, *beside])] if beside else []),
        ],
    )


def train_page(
    recipe_yaml: str,
    result: RunResult,
    *,
    name: str = "",
    shown: Shown | None = None,
    notes: Sequence[str] = (),
    beside: Sequence[figures.Curve] = (),
    tables: Sequence[Table] = (),
) -> PageData:
    """The page of `terse train`, from the object of `result.json` and what was drawn of the run.

    The charts of poses show the last cycle's. `notes` end the summary; `beside` are the paper's curves against samples, `tables` come after the
    page's own.
    """
    settings = read_yaml(recipe_yaml, "recipe") if recipe_yaml else {}
    arm, images = (settings.get("synthesis") or {}).get("kind", "learned"), judging_images(settings)
    shown = shown or Shown()
    coverage = shown.figures.coverage
    cycles, primary = result.cycles, result.primary
    start, end = _figure(result, "start", primary, images), _figure(result, "end", primary, images)
    return PageData(
        title=_title(primary, start, end),
        kind="train",
        name=name,
        summary=[*_summary(result, primary, start, end, settings), *notes],
        facts=_facts(result, primary, start, end),
        alarms=result.alarms,
        charts=[*_charts(result, primary, arm, shown.figures.hardness, beside), *_poses(coverage, arm)],
        tables=[
            _start_end(result, images),
            *([_by_class(result, primary)] if len(result.metrics.end.by_class) > 1 else []),
            *([_by_cycle(cycles)] if cycles else []),
            *([coverage_table(coverage)] if coverage else []),
            *tables,
        ],
        shown=shown,
        recipe=recipe_yaml,
        commands=_commands(result.out or "RUN", trust_flag(settings)),
    )


def _title(primary: str, start: float, end: float) -> str:
    metric, before, after = words(primary), score(start), score(end)
    if before == after:  # as far as a reader can see
        return f"{metric} stayed at {after}"
    return f"{metric} {'rose' if end > start else 'fell'} from {before} to {after}"


def _summary(result: RunResult, primary: str, start: float, end: float, settings: Mapping[str, Any]) -> list[str]:
    cycles = result.cycles
    if not cycles:
        return ["No cycle has ended yet: the numbers are those of the model as it came."]
    found = f"After {count(len(cycles), 'cycle')} and {number(cycles[-1].samples)} synthetic images"
    reached = f"{in_text(primary)} on the {judging_images(settings)} images is {score(end)}; it was {score(start)} at the start."
    judged = any(cycle.judging_passes is None or cycle.judging_passes for cycle in cycles)  # older runs do not say
    sentences = [
        f"{found}{' that the model found hard' if judged else ''}, {reached}",
        *choice_of(settings, len(cycles)),
    ]
    if metric_of(primary).gain(start, end) <= 0:
        sentences.append(
            "The synthetic images did not help here. The hard rate and the samples below say where to look."
        )
    rates = [cycle.hard_rate for cycle in cycles if cycle.hard_rate is not None]
    if rates:
        sentences.append(
            f"Of what was proposed, {rates[0]:.0%} was hard for the model in the first cycle and {rates[-1]:.0%} in the last. "
            f"The run took {duration(result.seconds)}."
        )
    sentences += _kept(result.best_cycle, len(cycles))
    return sentences


def _kept(best_cycle: int | None, cycles: int) -> list[str]:
    """Which target the run kept, where it is not the last cycle's."""
    if best_cycle is None or best_cycle == cycles:
        return []
    if best_cycle:
        return [f"Kept is the target of cycle {best_cycle}."]
    return ["Kept is the start: no cycle was better on the validation images."]


def _facts(result: RunResult, primary: str, start: float, end: float) -> list[Fact]:
    gain = metric_of(primary).gain(start, end)
    tone: Tone = "good" if gain > 0 else "bad" if gain < 0 else "plain"
    facts = [Fact(words(primary), score(end), f"{end - start:+.3f} from {score(start)}", tone)]
    cycles = result.cycles
    if cycles:
        facts.append(Fact("Synthetic images", number(cycles[-1].samples), f"in {count(len(cycles), 'cycle')}"))
        total = sum(cycle.target_forwards or 0 for cycle in cycles)
        facts.append(Fact("Target forwards", number(total), "images the target looked at"))
    facts.append(Fact("Time", duration(result.seconds)))
    return facts


def _charts(
    result: RunResult, primary: str, arm: str, hardness: Mapping[str, HardnessCounts], beside: Sequence[figures.Curve]
) -> list[Chart]:
    cycles = result.cycles
    if not cycles:
        return []
    charts = [
        curve_chart(
            [_curve(result, primary, arm, against), *(beside if against == "samples" else ())],
            primary,
            against,
            caption,
        )
        for against, caption in _CURVES.items()
        if all(getattr(cycle, against) is not None for cycle in cycles)
    ]
    charts += _hardness_charts(cycles, hardness)
    seconds = {f"cycle {k}": _phases(cycle) for k, cycle in enumerate(cycles, 1)}
    charts.append(
        Chart("seconds", "Where the time went", "Seconds of each cycle.", figures.bars(seconds, "Seconds", " s"))
    )
    return charts


def _poses(coverage: Mapping[str, Coverage], arm: str) -> list[Chart]:
    cycles = [name for name in coverage if name.startswith("cycle")] or list(coverage)
    return coverage_charts(coverage[cycles[-1]], arm) if cycles else []


def _hardness_charts(cycles: Sequence[Cycle], hardness: Mapping[str, HardnessCounts]) -> list[Chart]:
    charts = []
    rates, areas = [cycle.hard_rate for cycle in cycles], [cycle.discriminator_auc for cycle in cycles]
    if any(rate is not None for rate in rates):
        figure = figures.cycle_lines({"hard_rate": rates}, "Hard rate")
        figure.update_yaxes(tickformat=".0%", range=[0, 1.02])
        caption = "The share of proposed images that the target got wrong. Near 0 nothing is left to learn; near 1 the threshold tells nothing."
        charts.append(Chart("hard-rate", "Hard rate by cycle", caption, figure))
    caption = "Hardness is 1\u00a0-\u00a0p, p the target's probability of the truth."
    charts += hardness_charts(hardness, "How hard the images are", caption)
    if any(area is not None for area in areas):
        figure = figures.cycle_lines({"discriminator": areas}, "AUC", reference=0.5)
        caption = "How well the discriminator tells untouched backgrounds from real images. At 0.5 it judges realism; near 1 it has learnt the data set."
        charts.append(Chart("discriminator", "Discriminator on untouched backgrounds", caption, figure))
    return charts


def _curve(result: RunResult, primary: str, arm: str, against: str) -> figures.Curve:
    spent = 0.0
    x: list[float] = [0.0]
    y = [result.metrics.start.figure(primary)]
    for cycle in result.cycles:
        # Samples are the pool's size after the cycle; costs are what the cycle itself spent.
        spent = float(cycle.samples) if against == "samples" else spent + float(getattr(cycle, against))
        x.append(spent)
        y.append(cycle.figure(primary))
    return figures.Curve(arm, x, y)


def _phases(cycle: Cycle) -> dict[str, float]:
    phases = cycle.phase_seconds or {"seconds": cycle.seconds}
    order = [*(phase for phase in PHASES if phase in phases), *(phase for phase in phases if phase not in PHASES)]
    return {phase: phases[phase] for phase in order}


def _start_end(result: RunResult, images: Judging) -> Table:
    start, end, primary = result.metrics.start, result.metrics.end, result.primary
    rows = [
        (words(name), *_change(start.figure(name), end.figure(name)))
        for name in metric_names([start.figures, end.figures])
    ]
    for size in start.by_size:
        change = _change(*(ends.by_size[size].get(primary) for ends in (start, end)))
        rows.append((f"{words(primary)}, {size} objects", *change))
    amounts = {f"{images} image": end.images, "object": end.objects}
    counts = [count(amount, word) for word, amount in amounts.items() if amount is not None]
    caption = f"On {' with '.join(counts) or f'the {images} images'}."
    return Table("Start and end", ("Metric", "Start", "End", "Change"), rows, caption)


def _by_class(result: RunResult, primary: str) -> Table:
    start, end = result.metrics.start.by_class, result.metrics.end.by_class
    counted = all("objects" in one for one in end.values())  # of pixels nobody counts objects
    rows = [
        (
            name,
            *([number(one["objects"] or 0)] if counted else []),
            *_change(start.get(name, {}).get(primary), one.get(primary)),
        )
        for name, one in end.items()
    ]
    heads = ("Class", *(["Objects"] if counted else []), "Start", "End", "Change")
    return Table(f"{words(primary)} by class", heads, rows)


def _figure(result: RunResult, when: Literal["start", "end"], primary: str, images: Judging) -> float:
    value = (result.metrics.start if when == "start" else result.metrics.end).figure(primary)
    if value is None:
        raise RunError(
            f"{'test' if images == 'test' else 'val'}: expected images with objects to find, got none, so that {primary} has no "
            f"value at the {when}; give the recipe other {images} images"
        )
    return value


def _change(start: float | None, end: float | None) -> tuple[str, str, str]:
    """None where there was no object to find."""
    if start is None or end is None:
        return "", "", ""
    return f"{start:.4f}", f"{end:.4f}", f"{end - start:+.4f}"


def _by_cycle(cycles: Sequence[Cycle]) -> Table:
    columns = {name: [cycle.figure(name) for cycle in cycles] for name in known_metrics()}
    own = ("hard_rate", *COSTS, *CRITIC, "discriminator_auc")
    columns |= {name: [getattr(cycle, name) for cycle in cycles] for name in own}
    known = {name: values for name, values in columns.items() if name == "samples" or values[-1] is not None}
    rows = [
        (str(k + 1), *(_cell(name, values[k]) for name, values in known.items()), f"{cycle.seconds:,.1f}")
        for k, cycle in enumerate(cycles)
    ]
    return Table("By cycle", ("Cycle", *map(words, known), "Seconds"), rows)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return number(value) if name in COSTS else f"{value:.1%}" if name == "hard_rate" else f"{value:.4f}"


def _realism_table(realism: Realism) -> Table:
    """Has the discriminator learnt realism, or only which data set an image comes from?"""
    rows = [
        ("Composites against real images", f"{realism.composites_auc:.2f}"),
        ("Untouched backgrounds against real images", f"{realism.backgrounds_auc:.2f}"),
    ]
    caption = (
        "AUC of the last discriminator. The first row falls to 0.5 as composites become real to it. The second should "
        "be near 0.5: backgrounds without a paste are real, and what tells them apart is the data set."
    )
    return Table("Discriminator", ("It tells apart", "AUC"), rows, caption)


def _commands(out: str, flags: Sequence[str]) -> list[Command]:
    again = ("terse", "train", f"{out}/recipe.yaml", "--out", f"{out}-again", *flags)
    made = ("terse", "generate", out, "--count", "1000", "--format", "coco", "--out", "dataset", *flags)
    return [
        Command(shlex.join(again), "The same run once more"),
        Command(shlex.join(made), "A data set from what was learned"),
        Command(shlex.join(("terse", "report", out)), "This page once more"),
    ]
