"""Write docs/paper-map.md: the paper part by part (docs/paper-map.yaml), then name by name from the code's `Source:` lines."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

from terse.yaml_text import read_yaml_file

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "terse"
PARTS = ROOT / "docs" / "paper-map.yaml"
PLACES = ("poses", "compositing", "synthesis", "discriminator.py", "objectives.py", "training", "evaluation")
"""Where every public name says its source."""
MORE = ("targets", "sources", "masks", "tasks", "pool.py", "pose_entropy.py", "proof")
"""Where some do."""
HEAD = """# Where the paper is in the code

Made by `uv run python tools/paper_map.py`; a test sees that it is up to date. First the paper part by part, with what we do otherwise;
then the code name by name, from its `Source:` lines: "ours" marks what the paper does not say. `docs/decisions/` has the reasons of
weight. Code is below `src/terse`, tests below `tests`.

## By the paper

"""
NAMES = """## By name

| name | what | source |
| --- | --- | --- |
"""


class Row(TypedDict, total=False):
    """One idea of a part of the paper."""

    what: str
    code: list[str]
    recipe: list[str]
    test: list[str]
    deviation: str


def parts() -> dict[str, list[Row]]:
    """The rows of each section, equation, table and figure."""
    read: dict[str, list[Row]] = read_yaml_file(PARTS, PARTS.name)
    return read


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


def entries(places: tuple[str, ...] = PLACES) -> Iterator[tuple[str, str, str | None]]:
    """Name, first sentence and source of every public name in these places."""
    for place in places:
        home = PACKAGE / place
        for path in sorted(home.rglob("*.py")) if home.is_dir() else [home]:
            module = ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
            for name, node in public_names(path):
                if is_value(node):
                    continue
                text = ast.get_docstring(node) or ""
                first = " ".join(text.split("\n\n")[0].split())
                found = re.search(r"^Source: (.+?)(?=\n\n|\Z)", text, re.DOTALL | re.MULTILINE)
                yield f"`{module}.{name}`", first, " ".join(found.group(1).split()) if found else None


def part_lines() -> Iterator[str]:
    """The paper's parts with their ideas: what, what we do otherwise, where, and the tests."""
    for part, rows in parts().items():
        yield f"### {part}\n"
        for row in rows:
            where = [f"`{place}`" for place in row.get("code", [])]
            where += [f"recipe `{name}`" for name in row.get("recipe", [])]
            tests = [f"`{test}`" for test in row["test"]]
            otherwise = f"  *Otherwise:* {row['deviation']}\n" if "deviation" in row else ""
            yield f"- **{row['what']}**\n{otherwise}  *Where:* {', '.join(where)}. *Tests:* {', '.join(tests)}"
        yield ""


def page() -> str:
    """The whole page."""
    named = [*entries(), *(one for one in entries(MORE) if one[2] is not None)]
    rows = [f"| {name} | {first} | {source or '-'} |" for name, first, source in named]
    return HEAD + "\n".join(part_lines()) + NAMES + "\n".join(row.replace("|b|", "b") for row in rows) + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "paper-map.md").write_text(page(), "utf-8")
