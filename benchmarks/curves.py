"""Print runs side by side as a Markdown table: the metric against samples, and what each run cost.

uv run python benchmarks/curves.py RUN RUN ...
"""

import json
import sys
from pathlib import Path


def main():
    runs = [Path(name) for name in sys.argv[1:]]
    if not runs:
        sys.exit(__doc__)
    results = {run.name: json.loads((run / "result.json").read_text("utf-8")) for run in runs}
    names = list(results)
    metric = next(iter(results.values()))["primary"]
    print("| samples | " + " | ".join(names) + " |")
    print("| --- |" + " --- |" * len(names))
    print("| 0 | " + " | ".join(f"{r['metrics']['start'][metric]:.3f}" for r in results.values()) + " |")
    samples = sorted({cycle["samples"] for result in results.values() for cycle in result["cycles"]})
    for count in samples:
        found = [
            next((f"{c[metric]:.3f}" for c in result["cycles"] if c["samples"] == count), "")
            for result in results.values()
        ]
        print(f"| {count:,} | " + " | ".join(found) + " |")
    for cost in ("target_forwards", "target_backwards", "synthesizer_forwards", "seconds"):
        sums = [sum(cycle[cost] for cycle in result["cycles"]) for result in results.values()]
        print(f"| {cost.replace('_', ' ')} | " + " | ".join(f"{value:,.0f}" for value in sums) + " |")


if __name__ == "__main__":
    main()
