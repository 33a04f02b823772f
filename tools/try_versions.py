"""Run the suite, or a part of it, under other versions: of the dependencies, or of Python.

    uv run python tools/try_versions.py lowest             # the lower bounds of pyproject.toml, on the oldest Python
    uv run python tools/try_versions.py highest            # the newest of everything
    uv run python tools/try_versions.py 3.12 3.13          # other Pythons, with the pinned versions
    uv run python tools/try_versions.py lowest tests/cli   # a part of the suite

Each gets an environment of its own in a temporary folder, which is removed before the next: torch takes 8 GB. A Python that the
machine has not (`pyenv versions`, `uv python list`) is left out with a sentence. Without tests named, the default suite runs.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OLDEST = "3.11"
RESOLUTIONS = {"lowest": "lowest-direct", "highest": "highest"}
# Linters and types of stubs say nothing about whether terse runs.
NOT_NEEDED = ("import-linter", "mypy", "pandas-stubs", "ruff", "scipy-stubs", "types-defusedxml")


def python_of(version: str) -> str | None:
    """The path of this Python on this machine; nothing is downloaded."""
    found = subprocess.run(
        ["uv", "python", "find", "--no-python-downloads", "--no-project", "--system", version],
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 0:
        return found.stdout.strip()
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    names = sorted(pyenv.glob(f"{version}.*"), key=lambda path: [int(n) for n in re.findall(r"\d+", path.name)])
    return str(names[-1] / "bin" / "python") if names else None


def groups() -> list[str]:
    """The requirements of the group dev that tests need."""
    import tomllib

    listed = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]["dev"]
    return [one for one in listed if re.split(r"[<>=!~\[; ]", one)[0] not in NOT_NEEDED]


def pins() -> str:
    """The constraints of pyproject.toml, one a line."""
    import tomllib

    return "\n".join(
        tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["uv"]["constraint-dependencies"]
    )


def install(env: Path, python: str, way: str, folder: Path) -> None:
    """Install terse with every extra as `way` says; outside the repository, whose pins uv would read."""
    subprocess.run(["uv", "venv", "-q", "--python", python, str(env)], check=True, cwd=folder)
    call = ["uv", "pip", "install", "-q", "--python", str(env / "bin" / "python")]
    if way in RESOLUTIONS:
        call += ["--resolution", RESOLUTIONS[way]]
    else:
        (folder / "pins.txt").write_text(pins(), "utf-8")
        call += ["--constraints", str(folder / "pins.txt")]
    extras = "mesh,onnx,s3,smp,timm,tracking,transformers"
    subprocess.run([*call, "-e", f"{ROOT}[{extras}]", *groups()], check=True, cwd=folder)


def attempt(way: str, tests: list[str]) -> int:
    """Install and test one way; the exit status of pytest, 0 where the Python is missing."""
    version = OLDEST if way in RESOLUTIONS else way
    python = python_of(version)
    if python is None:
        print(f"{way}: skipped, this machine has no Python {version}", flush=True)
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder) / "env"
        install(env, python, way, Path(folder))
        print(f"{way}: Python {version} installed in {time.monotonic() - began:.0f} s", flush=True)
        variables = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        call = [str(env / "bin" / "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
        code = subprocess.run(call, cwd=ROOT, env=variables, check=False).returncode
    print(f"{way}: {'passed' if code == 0 else f'failed ({code})'} in {time.monotonic() - began:.0f} s", flush=True)
    return code


def main() -> None:
    known = (*RESOLUTIONS, "3.11", "3.12", "3.13")
    ways = [word for word in sys.argv[1:] if word in known]
    tests = [word for word in sys.argv[1:] if word not in known]
    if not ways or any(word.startswith("3.") for word in tests):
        sys.exit(f"expected one of {', '.join(known)}, then tests; {__doc__}")
    sys.exit(max(attempt(way, tests) for way in ways))


if __name__ == "__main__":
    main()
