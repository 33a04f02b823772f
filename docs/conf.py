"""How the site is built: `uv run --group docs sphinx-build -W docs FOLDER`; nothing is fetched."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

project = "terse"
author = "the authors of terse"
version = release = version_of("terse-synth")
html_title = "terse"
html_theme = "furo"
html_show_sphinx = False
html_copy_source = False
html_show_copyright = False

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["results/runs"]
default_role = "literal"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def fill(app: Any, name: str, text: list[str]) -> None:
    """Replace a page's markers by what the code knows."""
    import reference_pages

    text[0] = reference_pages.filled(text[0])


def setup(app: Any) -> dict[str, bool]:
    """Connect the markers."""
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
