"""Where the rows of a table come from, as a spec says it: files, or a function of one's own."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlops_assets.spec.base import ImportPath, Part

PATH = (
    "File, pattern (`*`, `**`, `?`) or list of them: relative to the use case's folder, absolute, or s3://bucket/key; "
    "`${NAME}` stands for an environment variable."
)


def _of_something(value: str | list[str]) -> str | list[str]:
    given = [value] if isinstance(value, str) else value
    if not given or not all(path.strip() for path in given):
        raise ValueError("path names no file: give one, for example ../data/loans_*.parquet")
    return value


Paths = Annotated[str | list[str], AfterValidator(_of_something)]


class ParquetSource(Part):
    """Parquet files."""

    kind: Literal["parquet"] = Field(description="Parquet files.")
    path: Paths = Field(description=PATH)


class CsvSource(Part):
    """CSV files in UTF-8 whose first line names the columns."""

    kind: Literal["csv"] = Field(description="CSV files in UTF-8 with a line of column names.")
    path: Paths = Field(description=PATH)
    separator: str = Field(
        default=",", min_length=1, max_length=1, description="What stands between two values."
    )
    missing: list[str] = Field(
        default_factory=list,
        description="What stands where a value is missing, beside nothing at all; for example NA.",
    )


class PythonSource(Part):
    """A function of one's own that gives the rows."""

    kind: Literal["python"] = Field(description="A Python function.")
    function: ImportPath = Field(
        description="module:function, called with the start and the end of a partition (UTC); for a static table "
        "without arguments. It gives a polars frame."
    )


SOURCES: dict[str, type[Part]] = {"parquet": ParquetSource, "csv": CsvSource, "python": PythonSource}


def _of_its_kind(value: object) -> object:
    """Check a source as the one kind it names, so that a mistake is told once and at its own line."""
    if not isinstance(value, dict):
        return value
    kind = SOURCES.get(str(value.get("kind")))
    if kind is None:
        given = f"kind {value['kind']!r} is no source" if "kind" in value else "source names no kind"
        raise ValueError(f"{given}: choose from {', '.join(SOURCES)}")
    return kind.model_validate(value)


Source = Annotated[ParquetSource | CsvSource | PythonSource, BeforeValidator(_of_its_kind)]
