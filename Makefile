.PHONY: check format lint imports types tests site

check: format lint imports types tests site

format:
	uv run ruff format --check .

lint:
	uv run ruff check .

imports:
	uv run lint-imports

types:
	uv run mypy

tests:
	uv run pytest

site:
	uv run --group docs sphinx-build -W -q docs .site
