"""`terse render`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from terse.cli.answers import Json, answer
from terse.cli.jobs import with_trust
from terse.cli.settings_flags import named_by_flags, settings_given, with_settings
from terse.generate.settings import GenerateSettings
from terse.process import arrow_without_pandas

__all__ = ["render"]


@with_trust
@with_settings(GenerateSettings, only=("format", "side_px", "image", "quality", "masks"))
def render(
    placements: Path,
    *,
    out: Path,
    workers: int | None = None,
    executor: str = "local",
    address: str | None = None,
    resume: bool = False,
    as_json: Json = False,
    **flags: Any,
) -> int:
    """Draw placements again: edited, in another format, or at another resolution; what is not given stays.

    Args:
        placements: The placements.parquet that `terse generate` wrote, an edited copy, or a shard of a run's pool;
            or its URL.
        out: A new or empty folder, or its URL.
        workers: Processes; all cores by default.
        executor: What maps the shards: local, ray (extra ray), or an executor of an installed package.
        address: Of the Ray cluster: HOST:PORT, auto (the one of this machine) or local.
        resume: Go on with a set that was cut short.
        as_json: Print the result as one JSON object.
        flags: A flag for each field of `GenerateSettings`.
    """
    from terse.cli.generate import summary
    from terse.cli.progress import counting
    from terse.generate import render as draw

    arrow_without_pandas()
    with named_by_flags(GenerateSettings), counting() as observer:
        changes = settings_given(GenerateSettings, flags)
        result = draw(
            placements,
            out,
            workers=workers,
            executor=executor,
            address=address,
            resume=resume,
            observer=observer,
            **changes,
        )
    answer(result, summary(result), as_json=as_json)
    return 0
