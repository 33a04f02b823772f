"""Executors: shards of work mapped to results, here or on the machines of a cluster."""

from terse.workers.local import (
    Executor,
    InProcess,
    LocalProcesses,
    WorkersDied,
    local_executor,
    usable_cores,
)

__all__ = ["Executor", "InProcess", "LocalProcesses", "WorkersDied", "local_executor", "usable_cores"]
