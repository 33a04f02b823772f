"""`terse report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from terse.cli.answers import Json, answer
from terse.cli.jobs import with_trust

__all__ = ["build_report", "report"]


@with_trust
def report(
    run: Path,
    *,
    beside: Annotated[tuple[Path, ...], Parameter(show_default=False)] = (),
    compute: bool = False,
    as_json: Json = False,
) -> None:
    """Build the page of a run, a proof or a data set again.

    Args:
        run: Its folder.
        beside: Another run, whose composites and figures the page shows beside its own; may be given again.
        compute: First draw the composites and ask the models again, for a run or a proof of an older terse.
        as_json: Print one JSON object.
    """
    page = build_report(run, beside, compute=compute)
    answer({"out": str(page)}, str(page), as_json=as_json)


def build_report(folder: Path, beside: tuple[Path, ...] = (), *, compute: bool = False) -> Path:
    """Write `report.html` into the folder of a finished run, proof or data set.

    Raises:
        RunError: the folder holds none of them, or cannot be written.
    """
    from terse.errors import RunError

    is_proof, is_set = (folder / "start").is_dir(), (folder / "placements.parquet").is_file()
    if beside and (is_proof or is_set):
        held = "a proof" if is_proof else "a data set"
        raise RunError(f"--beside: expected the page of a run, got that of {held} in {folder}; give a run's folder")
    if is_proof and (folder / "result.json").is_file():
        from terse.report.proof_page import build_proof_page

        if compute:
            from terse.proof.prove import compute_page

            compute_page(folder)
        return build_proof_page(folder)
    if is_set:
        from terse.report.set_page import build_set_page

        return build_set_page(folder)
    from terse.report.before_after import draw_before_after
    from terse.report.run_page import build_run_page

    if compute:
        from terse import run

        run.compute_page(folder)
    page = build_run_page(folder, beside)
    draw_before_after(folder)
    return page
