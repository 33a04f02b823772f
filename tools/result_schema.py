"""Write docs/results.schema.json: the JSON schemas of what runs, proofs and data sets write about themselves."""

import json
from pathlib import Path

from terse.results import schema

FILE = Path(__file__).parents[1] / "docs" / "results.schema.json"


def text() -> str:
    """The file as it should be."""
    return json.dumps(schema(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), "utf-8")
