"""Write docs/results.schema.json: the JSON schemas of what runs, proofs and data sets write about themselves."""

import json
from pathlib import Path

from terse.proof.results import Measured, ProofResult
from terse.results import RunResult, SetResult

FILE = Path(__file__).parents[1] / "docs" / "results.schema.json"


def text() -> str:
    """The file as it should be."""
    models = {"run": RunResult, "proof": ProofResult, "measured": Measured, "set": SetResult}
    return json.dumps({name: model.model_json_schema() for name, model in models.items()}, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
