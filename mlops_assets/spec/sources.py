"""Where the rows of a table come from, as a spec says it: files, a database, a web address, another asset's table, or a function."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlops_assets.spec.base import ImportPath, Part
from mlops_assets.spec.http import VARIABLE, HttpSource

PATH = (
    "File, pattern (`*`, `**`, `?`) or list of them: relative to the use case's folder, absolute, or s3://, gs:// or az://bucket/key; "
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


BOUNDS = frozenset({"start", "end"})
NAMED = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)(?!:)")
"""A parameter of a query, `:start`; what SQLAlchemy takes for one, so that two colons, or one in `12:30`, are none."""


def _is_a_name(value: str) -> str:
    if not VARIABLE.fullmatch(value):
        what = "an address stands there" if "://" in value else "that is no name of a variable"
        raise ValueError(
            f"{what}: put the database's address into an environment variable, and its name here, for example "
            "SHOP_DATABASE; passwords stay out of files that way"
        )
    return value


def _only_reads(value: str) -> str:
    other = sorted({*NAMED.findall(value)} - BOUNDS)
    if other:
        raise ValueError(
            f"query has the parameter :{other[0]}, which nobody fills in: :start and :end are given; write \\:{other[0]} where "
            "the colon is one of the query's own"
        )
    if not value.strip().strip(";").strip():
        raise ValueError("query is empty: write a SELECT")
    return value


class SqlSource(Part):
    """A query of a database, which is only read."""

    kind: Literal["sql"] = Field(description="A query of a database.")
    database: Annotated[str, AfterValidator(_is_a_name)] = Field(
        description="Name of the environment variable with the database's address, as SQLAlchemy writes it: "
        "postgresql://user:password@host/name, sqlite:////folder/file.db, duckdb:////folder/file.duckdb; adbc+ before one of the first two reads it by Arrow."
    )
    query: Annotated[str, AfterValidator(_only_reads)] = Field(
        description="One SELECT. `:start` and `:end` are the first moment of a partition and the first one after it, so "
        "that the time is compared by >= :start and < :end; for a static table there are none."
    )

    @property
    def bounded(self) -> bool:
        """Whether the query asks for a span of time."""
        return {*NAMED.findall(self.query)} >= BOUNDS


def _of_its_kind(value: object, kinds: dict[str, type[Part]] | None = None) -> object:
    """Check a source as the one kind it names, so that a mistake is told once and at its own line."""
    if not isinstance(value, dict):
        return value
    known = kinds or SOURCES
    kind = known.get(str(value.get("kind")))
    if kind is None:
        given = f"kind {value['kind']!r} is no source" if "kind" in value else "source names no kind"
        raise ValueError(f"{given}: choose from {', '.join(known)}")
    return kind.model_validate(value)


def _of_a_place(value: object) -> object:
    return _of_its_kind(value, {name: SOURCES[name] for name in ("parquet", "csv", "sql")})


FileSource = ParquetSource | CsvSource

ASSET = r"^[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*$"


class AssetSource(Part):
    """A table that another Dagster asset writes, with where it lies."""

    kind: Literal["asset"] = Field(description="A table that another asset writes.")
    asset: str = Field(pattern=ASSET, description="Its key, parts between slashes, as in warehouse/orders.")
    at: Annotated[FileSource | SqlSource, BeforeValidator(_of_a_place)] = Field(
        description="Where the asset leaves it: a source of kind parquet, csv or sql."
    )


SOURCES: dict[str, type[Part]] = {
    "parquet": ParquetSource,
    "csv": CsvSource,
    "sql": SqlSource,
    "http": HttpSource,
    "asset": AssetSource,
    "python": PythonSource,
}


Source = Annotated[
    FileSource | SqlSource | HttpSource | AssetSource | PythonSource,
    BeforeValidator(lambda value: _of_its_kind(value)),
]
