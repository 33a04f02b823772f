"""An executor: shards one after the other in this process, each named on stderr."""

import sys
from collections.abc import Callable, Generator, Iterable
from typing import Any, Literal

from terse.config import Config
from terse.progress import Observer
from terse.registry import register


@register("executor", "acme_noting")
class NotingConfig(Config):
    """Names each shard on stderr."""

    kind: Literal["acme_noting"] = "acme_noting"

    def build(self, workers: int) -> "NotingExecutor":
        return NotingExecutor()


class NotingExecutor:
    def map(
        self, start: Callable[[Observer], Callable[[Any], Any]], shards: Iterable[Any], observer: Observer | None = None
    ) -> Generator[tuple[Any, Any], None, None]:
        work = start(observer or Observer())
        for shard in shards:
            print(f"acme makes shard {shard.number}", file=sys.stderr)  # noqa: T201 - seen by the test
            yield shard, work(shard)
