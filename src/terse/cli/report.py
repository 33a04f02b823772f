"""`terse report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["report"]


def report(run: Path, *, as_json: Annotated[bool, Parameter(name="--json")] = False) -> None:
    """Build a run's page again.

    Args:
        run: The run's folder.
        as_json: Print one JSON object.
    """
    from terse.report.run_page import build_run_page

    page = build_run_page(run)
    print(json.dumps({"out": str(page)}) if as_json else str(page))
