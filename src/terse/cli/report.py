"""`terse report`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

__all__ = ["report"]


def report(
    run: Path,
    *,
    beside: tuple[Path, ...] = (),
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> None:
    """Build the page of a run, a proof or a data set again.

    Args:
        run: Its folder.
        beside: Another run, whose composites and figures the page shows beside its own; may be given again.
        as_json: Print one JSON object.
    """
    from terse.report.run_page import build_run_page

    page = build_run_page(run, beside)
    print(json.dumps({"out": str(page)}) if as_json else str(page))
