"""The typed results are the JSON that is written, and the schema in the docs is theirs."""

import importlib.util
import json
from pathlib import Path

import pytest

from terse.errors import RunError
from terse.proof.results import read_proof
from terse.results import FORMAT, RunResult, hardness_counts, read_run

ROOT = Path(__file__).parents[1]
RUN = {
    "format": 1,
    "out": None,
    "primary": "ap50",
    "metrics": {
        "start": {"ap50": 0.25, "ap": None, "images": 4, "by_class": {"cat": {"ap50": 0.25, "objects": 3}}},
        "end": {"ap50": 0.5, "ap": 0.125, "images": 4},
    },
    "best_cycle": 1,
    "cycles": [{"cycle": 1, "samples": 8, "hard_rate": 0.5, "seconds": 1.5, "ap50": 0.5, "val_ap50": 0.75}],
    "alarms": [],
    "seconds": 2.0,
}


def test_what_is_read_is_written_again():
    result = RunResult.model_validate(RUN)
    assert result.to_json() == RUN
    assert (result.metrics.start.figure("ap50"), result.metrics.start.figure("ap")) == (0.25, None)
    assert result.metrics.end.figures == {"ap50": 0.5, "ap": 0.125}
    assert result.cycles[0].figures == {"ap50": 0.5, "val_ap50": 0.75}


def test_a_result_without_a_format_is_of_the_first(tmp_path):
    older = {key: value for key, value in RUN.items() if key != "format"}
    (tmp_path / "result.json").write_text(json.dumps(older))
    assert read_run(tmp_path).format == FORMAT == 1


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            json.dumps({**RUN, "format": 2}),
            "expected format 1, got 2; another version of terse wrote it: read it with that one",
        ),
        ("{", "expected a finished run's result, got a file that is not JSON"),
        ("[1]", "expected a finished run's result, got a file that is not one JSON object"),
        (json.dumps({**RUN, "seconds": "long"}), "expected a finished run's result, got one whose seconds is 'long'"),
    ],
)
def test_a_result_that_cannot_be_used_is_refused_in_a_sentence(tmp_path, written, message):
    path = tmp_path / "result.json"
    path.write_text(written)
    with pytest.raises(RunError) as error:
        read_run(tmp_path)
    assert str(error.value) == f"{path}: {message}"


def test_a_missing_result_is_named(tmp_path):
    with pytest.raises(RunError) as error:
        read_proof(tmp_path)
    assert str(error.value) == (
        f"{tmp_path / 'result.json'}: expected a finished proof's result, got: No such file or directory"
    )


def test_hardness_is_counted_in_twenty_bins():
    found = hardness_counts([0.0, 0.049, 0.5, 1.0])
    assert found.counts == [2, *[0] * 9, 1, *[0] * 8, 1]
    assert found.mean == pytest.approx(1.549 / 4)
    assert hardness_counts([]).mean is None


def test_the_schema_in_the_docs_is_up_to_date():
    spec = importlib.util.spec_from_file_location("result_schema", ROOT / "tools" / "result_schema.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.FILE.read_text("utf-8") == module.text(), "run: uv run python tools/result_schema.py"
