"""Pin the whole tree: resolve, and write every version into `constraint-dependencies` of pyproject.toml.

Run it with `uv run python tools/pin_versions.py` after a change of dependencies, and commit the result. A lock file
would name the registry it was made from; constraints name versions only, with markers where a Python version or a
system needs another release.
"""

import re
import subprocess
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
BLOCK = re.compile(r"^constraint-dependencies = \[(?:\]|\n.*?^\])", re.DOTALL | re.MULTILINE)


def main() -> None:
    text = PYPROJECT.read_text("utf-8")
    PYPROJECT.write_text(BLOCK.sub("constraint-dependencies = []", text), "utf-8")
    subprocess.run(["uv", "lock", "--upgrade"], check=True)
    export = ["uv", "export", "--no-hashes", "--no-header", "--no-annotate", "--all-groups", "--all-extras"]
    lines = subprocess.run([*export, "--no-emit-project"], check=True, capture_output=True, text=True).stdout
    pins = "".join(f'  "{line}",\n' for line in lines.splitlines() if "==" in line)
    PYPROJECT.write_text(BLOCK.sub(lambda _: f"constraint-dependencies = [\n{pins}]", text), "utf-8")


if __name__ == "__main__":
    main()
