"""Build the wheel and the source archive, install them where nothing of the repository is, and use them as a user does.

    uv run python tools/try_wheel.py --quick   # beside this environment's packages: seconds, no network
    uv run python tools/try_wheel.py           # an empty environment, by pip alone: 6 GB, about 15 minutes

The full way installs the source archive with all that it needs, then the wheel in its place, runs quickstart, and follows
docs/tutorial.md from drawn boxes to a better detector, all in an empty directory. It ends with an error where a command fails or a
model gets no better.
"""

import argparse
import ensurepip
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text("utf-8")
NOT_FOLLOWED = ("prove", "cd")  # an hour on a busy machine; what it needs is in what ran before
LOOKS = (
    ["terse"],
    ["terse", "--help"],
    ["terse", "recipes"],
    ["terse", "targets"],
    ["terse", "check", "shapes", "data.train=16", "data.val=8", "data.test=8"],
)


def build(out: Path) -> tuple[Path, Path]:
    """The wheel and the source archive."""
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", str(out)], cwd=ROOT, check=True)
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive


class Environment:
    """A virtual environment without anything but pip in it, and commands in an empty directory beside it."""

    def __init__(self, root: Path, *, with_pip: bool = True) -> None:
        self.work = root / "empty"
        self.work.mkdir()
        self._bin = root / "env" / "bin"
        venv.create(root / "env", with_pip=with_pip)
        self.site = Path(self.output("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())

    def run(self, *words: str) -> None:
        print("$", shlex.join(words), flush=True)
        began = time.monotonic()
        subprocess.run([str(self._bin / words[0]), *words[1:]], cwd=self.work, env=self._variables(), check=True)
        print(f"# {time.monotonic() - began:.1f} s", flush=True)

    def output(self, *words: str) -> str:
        call = [str(self._bin / words[0]), *words[1:]]
        return subprocess.run(
            call, cwd=self.work, env=self._variables(), check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def _variables(self) -> dict[str, str]:
        """Without what leads back to the repository."""
        return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}


def quick(root: Path) -> None:
    """Install the wheel alone; the other packages are this environment's, less its own terse."""
    wheel, _ = build(root / "dist")
    bundled = [str(path / "pip") for path in Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl")]
    env = Environment(root, with_pip=not bundled)  # Python's own pip runs from its wheel; to install it takes seconds
    pip = bundled[:1] or ["-m", "pip"]
    env.run("python", *pip, "install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel))
    (env.site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    found = env.output("python", "-c", "import terse; print(terse.__file__)").strip()
    if not found.startswith(str(env.site)):
        sys.exit(f"expected the wheel's terse below {env.site}, got {found}")
    for words in LOOKS:
        env.run(*words)


def full(root: Path) -> None:
    """An empty environment, by pip alone."""
    wheel, archive = build(root / "dist")
    env = Environment(root)
    env.run("pip", "install", "--quiet", str(archive))
    env.run("terse", "--version")
    env.run("pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(wheel))
    for words in LOOKS:
        env.run(*words)
    env.run("terse", "train", "quickstart")
    better(env.work / "runs" / "quickstart", "accuracy", 0.4)
    follow(env)


def follow(env: Environment) -> None:
    """The tutorial's commands, in the folder that its first one draws."""
    commands = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    for words in map(shlex.split, commands):
        if words[:2] == ["python", "-m"]:
            env.run(*words)
            env.work = env.work / words[-1]
            recipe = re.search(r"```yaml\n# run\.yaml\n(.*?)```", PAGE, re.DOTALL)
            assert recipe is not None
            (env.work / "run.yaml").write_text(recipe[1], "utf-8")
        elif not set(words[:2]) & set(NOT_FOLLOWED):
            env.run(*words)
    better(env.work / "runs" / "mine", "ap50", 0.1)


def better(run: Path, metric: str, gain: float) -> None:
    metrics = json.loads((run / "result.json").read_text("utf-8"))["metrics"]
    start, end = metrics["start"][metric], metrics["end"][metric]
    print(f"# {run.name}: {metric} {start:.3f} -> {end:.3f}", flush=True)
    if end < start + gain:
        sys.exit(f"{run}: expected {metric} to gain {gain}, got {start:.3f} -> {end:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the wheel alone, beside this environment's packages")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (quick if chosen.quick else full)(Path(folder))


if __name__ == "__main__":
    main()
