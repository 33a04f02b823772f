"""Write docs/paper-map.md from the `Source:` lines of the code: where each idea of the paper is, and what is ours."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = ("poses", "compositing", "synthesis", "discriminator.py", "objectives.py", "training", "evaluation")
HEAD = """# Where the paper is in the code

Made from the `Source:` lines by `uv run python tools/paper_map.py`; a test sees that it is up to date. "Ours" marks what
the paper does not say or we do otherwise; `docs/decisions/` has the reasons of weight.

| name | what | source |
| --- | --- | --- |
"""


def public_names(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """The functions and classes in a module's `__all__`, in the order of the file."""
    tree = ast.parse(path.read_text("utf-8"))
    exported = next(
        (
            ast.literal_eval(node.value)
            for node in tree.body
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets)
        ),
        [],
    )
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in exported:
            yield node.name, node


def is_value(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """A record, a protocol, an exception or settings: what the settings build is listed, not they."""
    if isinstance(node, ast.FunctionDef):
        return False
    marks = [ast.unparse(mark) for mark in node.decorator_list] + [ast.unparse(base) for base in node.bases]
    return any(word in mark for mark in marks for word in ("dataclass", "Protocol", "Exception", "register("))


def entries() -> Iterator[tuple[str, str, str | None]]:
    """Name, first sentence and source of every public name in the places that hold the method."""
    for place in PLACES:
        home = ROOT / "src" / "terse" / place
        for path in sorted(home.rglob("*.py")) if home.is_dir() else [home]:
            module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
            for name, node in public_names(path):
                if is_value(node):
                    continue
                text = ast.get_docstring(node) or ""
                first = " ".join(text.split("\n\n")[0].split())
                found = re.search(r"^Source: (.+?)(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
                yield f"`{module}.{name}`", first, " ".join(found.group(1).split()) if found else None


def page() -> str:
    """The whole page."""
    rows = [f"| {name} | {first} | {source or '-'} |" for name, first, source in entries()]
    return HEAD + "\n".join(row.replace("|b|", "b") for row in rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "paper-map.md").write_text(page(), "utf-8")
