"""The table in docs/point-in-time.md: how Feast's own stores differ, case by case."""

from pathlib import Path

STORES = {"file (dask)": "dask", "DuckDB": "duckdb", "Ray": "ray"}
PAGE = Path(__file__).parents[3] / "docs" / "point-in-time.md"
BEGIN, END = "<!-- differences -->", "<!-- /differences -->"


def table() -> dict[str, dict[str, str]]:
    """The table's lines by case: the cells by their column."""
    inside = PAGE.read_text().split(BEGIN)[1].split(END)[0]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in inside.strip().splitlines()]
    return {cells[0].strip("`"): dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]}


def told(case: str, column: str) -> str:
    """What the page says of the store in that case: without a line, that it is right."""
    line = table().get(case)
    return line[column] if line else "right"
