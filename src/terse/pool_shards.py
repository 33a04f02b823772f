"""The shards of a run's pool by their names: `cycle-0001.parquet`, and `-draw-0001` for each time a cycle was drawn afresh."""

import re
from pathlib import Path

__all__ = ["shard_name", "shards_in"]

_NAME = re.compile(r"cycle-([0-9]{4,9})(?:-draw-([0-9]{4,9}))?\.parquet")


def shard_name(cycle: int, draw: int = 0) -> str:
    """The name of a cycle's shard."""
    return f"cycle-{cycle:04d}{f'-draw-{draw:04d}' if draw else ''}.parquet"


def shards_in(folder: Path) -> dict[tuple[int, int], Path]:
    """The shards in a folder by cycle and draw, sorted by name; files of other names, and folders, are none."""
    named = ((_NAME.fullmatch(path.name), path) for path in sorted(folder.glob("cycle-*.parquet")) if path.is_file())
    return {(int(name[1]), int(name[2] or 0)): path for name, path in named if name is not None}
