"""`terse doctor`."""

from __future__ import annotations

from terse.cli.answers import Json, answer

__all__ = ["doctor"]


def doctor(*, as_json: Json = False) -> int:
    """Say whether this machine can run terse.

    Args:
        as_json: Print one JSON object.
    """
    import os
    import platform
    import shutil
    from importlib.metadata import PackageNotFoundError, version

    from terse.workers import usable_cores

    facts: dict[str, object] = {"terse": version("terse-synth"), "python": platform.python_version()}
    problems = []
    for package in ("torch", "torchvision", "opencv-python-headless", "pyarrow", "faster-coco-eval", "kornia"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            facts[package] = None
            problems.append(f"{package}: expected it to be installed, got nothing; run: pip install terse-synth")
    facts["cores"] = usable_cores()
    facts["free_disk_gib"] = round(shutil.disk_usage(".").free / 2**30, 1)
    if not os.access(".", os.W_OK):
        problems.append(".: expected a working directory that can be written, got one that cannot; use --out")
    if facts["torch"] is not None:
        import torch

        facts["cuda"] = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
        facts["cpu_bfloat16"] = bool(torch.cpu._is_avx512_bf16_supported())
        facts["cpu_capability"] = torch.backends.cpu.get_cpu_capability()
    lines = [f"{name:<24}{'none' if value is None else value}" for name, value in facts.items()]
    lines += problems or ["all that terse needs is here"]
    answer({**facts, "problems": problems}, "\n".join(lines), as_json=as_json)
    return 2 if problems else 0
