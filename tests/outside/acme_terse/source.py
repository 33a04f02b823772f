"""A source: the images that a text file lists."""

from typing import Any, Literal

from terse.config import InputPath
from terse.registry import register
from terse.sources.selection import SourceConfig


@register("source", "acme_list")
class ListConfig(SourceConfig):
    """One path on each line, relative to the list."""

    kind: Literal["acme_list"] = "acme_list"
    acme_list: InputPath

    def _read(self) -> Any:
        from terse.sources.indexing import ImageEntry, Index

        index = Index(self.acme_list.stem, self.acme_list.parent, ())
        names = self.acme_list.read_text("utf-8").split()
        index.add_images(ImageEntry(name, f"{self.acme_list}, line {k}") for k, name in enumerate(names, 1))
        return index.finish()
