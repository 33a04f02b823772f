import pytest

from terse.report.proof_page import prove_page


def page_of(drawn, **kwargs):
    proof, runs = drawn.proof(**kwargs)
    return (proof, runs, prove_page(drawn.RECIPE, drawn.proved(proof), out="my proofs/a", name="person"))


def test_a_go_is_said_first(drawn):
    proof, _, page = page_of(drawn)
    assert page.title == f"Learned gains {proof['gain']['mean']:.3f} AP at IoU 0.5 over none"
    assert (page.headline.word, page.headline.tone) == ("Go", "good")
    assert page.headline.sentence == proof["reason"][0].upper() + proof["reason"][1:]
    assert page.summary[0] == (
        "Six ways to train had the same real data, as many synthetic images (none: real images alone) and the same "
        "fine-tuning, 3 times each. What counts is AP at IoU 0.5 on test images that neither trained nor chose a model."
    )


def test_arms_that_found_unequal_numbers_are_not_said_to_have_as_many(drawn):
    proof, _ = drawn.proof()
    proof["costs"]["mined"]["samples"] = proof["costs"]["learned"]["samples"] - 40
    page = prove_page(drawn.RECIPE, drawn.proved(proof), out="a", name="person")
    assert (
        "had the same real data, unequal numbers of synthetic images (none: real images alone) and" in page.summary[0]
    )


def test_arms_with_unequal_numbers_of_seeds_are_said_to_have_them(drawn):
    proof, _ = drawn.proof()
    proof["arms"]["mined"]["per_seed"] = proof["arms"]["mined"]["per_seed"][:1]
    page = prove_page(drawn.RECIPE, drawn.proved(proof), out="a", name="person")
    assert "fine-tuning, 1 to 3 times each." in page.summary[0]


def test_a_no_go_is_said_as_plainly(drawn):
    _, _, page = page_of(drawn, seeds=6, gain=-0.05)
    assert page.title == "Learned does not gain over none"
    assert (page.headline.word, page.headline.tone) == ("No go", "bad")


def test_a_gain_that_is_too_small_is_not_called_none(drawn):
    proof, _ = drawn.proof(seeds=6, gain=0.006)
    proof |= {"verdict": "no_go", "worth": 0.1}
    proof["gain"] |= {"low": 0.004, "high": 0.008, "overall": None, "clusters": None}
    page = prove_page(drawn.RECIPE, drawn.proved(proof), out="a", name="person")
    assert page.title == "Learned gains less over none than is worth having"


def test_what_is_not_settled_says_what_would_settle_it(drawn):
    proof, _, page = page_of(drawn, seeds=2, gain=0.006)
    assert page.title == "Whether learned gains over none is not settled yet"
    assert page.headline.word == "Not enough evidence"
    more = proof["more_seeds"]
    assert more > 0
    assert page.headline.sentence == proof["reason"][0].upper() + proof["reason"][1:]
    assert not any(
        "settle" in sentence for sentence in page.summary
    )  # the reason says how many, and whether they would
    arms = ",".join(proof["arms"])
    question = "--treatment learned --reference none"
    assert page.commands[0].line == (
        f"terse prove 'my proofs/a/recipe.yaml' --arms {arms} --seeds {2 + more} {question} --out 'my proofs/a' --resume"
    )


def test_commands_ask_the_same_question(drawn):
    proof, _ = drawn.proof()
    proof |= {"treatment": "random", "reference": "mined", "worth": 0.05}
    proof["gains"] |= {"none": proof["gains"]["learned"], "random": proof["gains"]["learned"]}
    page = prove_page(drawn.RECIPE, drawn.proved(proof), out="a", name="person")
    assert all("--treatment random --reference mined --worth 0.05" in command.line for command in page.commands)


def test_a_recipe_that_names_code_is_proved_again_with_trust(drawn):
    proof, _ = drawn.proof()
    recipe = "target: {kind: user, factory: 'my_models:make'}\n"
    page = prove_page(recipe, drawn.proved({**proof, "more_seeds": 2}), out="a")
    assert len(page.commands) == 2
    assert all(" --trust" in command.line for command in page.commands)
    assert not any(
        "--trust" in command.line for command in prove_page(drawn.RECIPE, drawn.proved(proof), out="a").commands
    )


def test_one_seed_has_means_without_intervals(drawn):
    _, runs, page = page_of(drawn, seeds=1)
    assert page.facts[0].note == "one seed has no interval"
    dots = page.charts[0].figure.data
    assert [trace.x[0] for trace in dots] == [run[0]["metrics"]["end"]["ap50"] for run in runs.values()]
    assert all(trace.error_x.array is None for trace in dots)


def test_the_charts_hold_the_numbers_of_the_proof(drawn):
    proof, runs, page = page_of(drawn)
    charts = {chart.name: chart.figure for chart in page.charts}
    means = {trace.name: trace.x[0] for trace in charts["arms"].data if trace.error_x.array is not None}
    assert means == {name.replace("_", "-"): one["mean"] for name, one in proof["arms"].items()}
    gain = next(trace for trace in charts["gains"].data if trace.name == "learned")
    assert gain.x[0] + gain.error_x.array[0] == pytest.approx(proof["gain"]["high"])
    learned = next(trace for trace in charts["curve-samples"].data if trace.name == "learned")
    ends = [run["metrics"]["end"]["ap50"] for run in runs["learned"]]
    assert list(learned.x) == [0, 400, 800, 1200, 1600]
    assert learned.y[-1] == pytest.approx(sum(ends) / len(ends))
    forwards = next(trace for trace in charts["curve-target-forwards"].data if trace.name == "learned")
    assert list(forwards.x) == [0, 14000, 28000, 42000, 56000]


def test_an_arm_without_samples_stands_beside_the_others(drawn):
    _, _, page = page_of(drawn)
    curves = next(chart for chart in page.charts if chart.name == "curve-samples").figure.data
    assert list(next(trace for trace in curves if trace.name == "none").x) == [0, 400, 800, 1200, 1600]


def test_the_ablation_table_has_every_arm_and_seed(drawn):
    proof, runs, page = page_of(drawn)
    table = page.tables[0]
    assert list(table.columns) == [
        "Arm", "AP at IoU 0.5", "Interval", "Gain over none", "Interval of the gain", "Seed 0", "Seed 1", "Seed 2",
    ]  # fmt: skip
    assert [row[0] for row in table.rows] == ["none", "random", "mined", "cut-paste-learn", "context", "learned"]
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert table.rows[0][3:5] == ("", "")
    assert table.rows[5][7] == f"{runs['learned'][2]['metrics']['end']['ap50']:.3f}"
    assert table.rows[5][3] == f"{proof['gains']['learned']['mean']:+.3f}"


def test_a_shortcut_is_an_alarm_and_a_chart(drawn):
    proof, _ = drawn.proof()
    shortcut = {"auc": {"alpha": 0.93}, "threshold": 0.8, "warnings": ["alpha: 0.93 is above 0.8"]}
    proof |= {"shortcut": shortcut, "alarms": shortcut["warnings"]}
    page = prove_page("", drawn.proved(proof), coverage={"learned": drawn.seen(drawn.covered("learned"))})
    assert page.alarms == ["alpha: 0.93 is above 0.8"]
    chart = next(chart for chart in page.charts if chart.name == "shortcut").figure
    assert (chart.data[0].x[0], chart.layout.shapes[0].x0) == (0.93, 0.8)
    assert [table.heading for table in page.tables[-2:]] == ["Coverage", "Shortcut audit"]
    assert page.tables[-1].rows == [("alpha", "0.93", "above the threshold")]


def test_an_alarm_of_the_proof_is_told_once(drawn):
    proof, _ = drawn.proof()
    shortcut = {"auc": {"alpha": 0.93}, "threshold": 0.8, "warnings": ["alpha: 0.93 is above 0.8"]}
    proof |= {"shortcut": shortcut, "alarms": ["unequal", *shortcut["warnings"], *shortcut["warnings"]]}
    page = prove_page("", drawn.proved(proof))
    assert page.alarms == ["unequal", "alpha: 0.93 is above 0.8"]


def test_coverage_stands_beside_randoms(drawn):
    proof, _ = drawn.proof()
    covered = {arm: drawn.covered(arm) for arm in ("random", "mined", "learned")}
    for arm, distance in (("random", 2.0), ("mined", 1.0), ("learned", 3.0)):
        covered[arm]["size"] = {**covered[arm]["poses"]["scale"], "counts": [len(arm), *[1] * 19]}
        covered[arm]["diversity"] = {"distance": distance, "nearest": 0.1}
    page = prove_page("", drawn.proved(proof), coverage={arm: drawn.seen(one) for arm, one in covered.items()})
    charts = {chart.name: chart for chart in page.charts}
    sizes = charts["sizes"].figure.data
    assert [(trace.name, trace.meta["tone"]) for trace in sizes] == [(arm, arm) for arm in covered]
    assert sizes[2].y[0] == pytest.approx(7 / 26)
    assert charts["positions-random"].heading == "Where random puts objects"
    total = sum(map(sum, covered["learned"]["position"]))
    assert charts["positions-learned"].figure.data[0].z[0][0] == pytest.approx(
        covered["learned"]["position"][0][0] / total
    )
    table = page.tables[-1]
    assert table.columns[-1] == "Feature distance over random's"
    assert [row[-1] for row in table.rows] == ["1", "0.5", "1.5"]


def test_what_is_cheaper_is_named_beside_the_verdict(drawn):
    proof, _, page = page_of(drawn, gain=0.1)
    rivals = {name: one["mean"] for name, one in proof["arms"].items() if name not in ("none", "learned")}
    best = max(rivals, key=rivals.get)
    gain = proof["over"][best]
    assert page.summary[1] == (
        f"Learned is ahead of {best.replace('_', '-')}, the best of the other arms: {gain['mean']:+.3f}, "
        f"{gain['low']:+.3f} to {gain['high']:+.3f}."
    )
    behind = {**proof, "over": {"random": {"mean": -0.02, "low": -0.03, "high": -0.01, "per_seed": []}}}
    assert prove_page("", drawn.proved(behind)).summary[1].startswith("Learned is behind random, ")
    unsure = {**proof, "over": {"random": {"mean": -0.0001, "low": -0.03, "high": 0.01, "per_seed": []}}}
    assert prove_page("", drawn.proved(unsure)).summary[1] == (
        "Learned cannot be told from random, the best of the other arms: -0.0001, -0.030 to +0.010."
    )
