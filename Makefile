.PHONY: check format lint imports types tests

check: format lint imports types tests

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
