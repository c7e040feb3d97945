"""Columns of a source turned into the types that a spec declares, strictly: a value fits or is refused, none is bent.

Missing stays missing, a NaN is missing, and every moment becomes UTC in microseconds.
"""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from mlops_assets.spec.typed_columns import Kind
from resources.moments import MomentError, read_day, read_moment

INSTANT = pl.Datetime("us", "UTC")
TYPES: dict[Kind, Any] = {
    "int": pl.Int64,
    "float": pl.Float64,
    "str": pl.String,
    "bool": pl.Boolean,
    "date": pl.Date,
    "datetime": INSTANT,
}
FITS = {
    "int": "a whole number of 64 bits, as 42",
    "float": "a finite number that 64 bits hold, as 1.5",
    "str": "a text",
    "bool": "true or false",
    "date": "a day, as 2024-02-01",
    "datetime": "a moment between 1678 and 2262 in whole microseconds, as 2024-02-01T10:00:00Z",
}
WHOLE = r"^[+-]?[0-9]+$"
NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DAY = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
PLAIN_MOMENT = r"^((1[7-9]|2[01])[0-9]{2}-[0-9]{2}-[0-9]{2})[T ](([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?)(Z?)$"
"""How nearly every moment is written, read as a column; any other is read one by one."""

FIRST, LAST = datetime(1677, 9, 22), datetime(2262, 4, 11)


def unfit(kind: Kind, dtype: Any) -> str | None:
    """Why no value of a column of this polars type can be of a kind, and what would fit; None where values decide."""
    if dtype == pl.Null or _admits(kind, dtype):
        return None
    fix = {
        "datetime": "a day is not a moment: declare it date, or give the moment" if dtype == pl.Date else "",
        "str": "declare it a number, or write it as text in the source" if dtype.is_numeric() else "",
    }.get(kind) or (
        "make columns of it in the source" if dtype.is_nested() else "declare the type that it has"
    )
    return f"{dtype}, which is not {FITS[kind]}: {fix}"


def typed(column: pl.Series, kind: Kind, zone: str = "UTC") -> tuple[pl.Series, int | None]:
    """The column as the kind's polars type, and the place of the first value that does not fit; None where all do.

    Moments without a zone are of `zone`: of an hour that is there twice the first is taken, and one that the spring
    change skips moves on by an hour. Missing values are null, NaN too.
    """
    given = column.fill_nan(None) if column.dtype.is_float() else column
    if given.dtype in (pl.Categorical, pl.Enum):
        given = given.cast(pl.String)
    if given.dtype == pl.Null:
        return given.cast(TYPES[kind]), None
    values = (_of_text if given.dtype == pl.String else _of_values)(given, kind, zone).alias(column.name)
    bad = (values.is_null() & given.is_not_null()).arg_true()
    return values, int(bad[0]) if bad.len() else None


def _admits(kind: Kind, dtype: Any) -> bool:
    text = dtype in (pl.String, pl.Categorical, pl.Enum)
    if kind == "str":
        return text
    if kind in ("int", "float"):
        return text or dtype.is_numeric()
    if kind == "bool":
        return text or dtype == pl.Boolean or dtype.is_integer()
    if kind == "date":
        return text or dtype == pl.Date or (isinstance(dtype, pl.Datetime) and dtype.time_zone is None)
    return text or isinstance(dtype, pl.Datetime)


def _of_values(given: pl.Series, kind: Kind, zone: str) -> pl.Series:
    if kind == "datetime":
        return _instants(given, zone)
    values = given.cast(TYPES[kind], strict=False)
    if kind == "float":
        values = _where(values, values.is_finite())
    if kind == "float" and given.dtype.is_decimal():
        return values
    return _where(values, values.cast(given.dtype, strict=False) == given)


def _of_text(given: pl.Series, kind: Kind, zone: str) -> pl.Series:
    if kind == "str":
        return given
    if kind == "int":
        return _where(given, given.str.contains(WHOLE)).cast(pl.Int64, strict=False)
    if kind == "float":
        numbers = _where(given, given.str.contains(NUMBER)).cast(pl.Float64, strict=False)
        return _where(numbers, numbers.is_finite())
    if kind == "bool":
        words = {"true": True, "1": True, "false": False, "0": False}
        return given.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    if kind == "date":
        return _each(_where(given, given.str.contains(DAY)), read_day, pl.Date)
    return _moments(given, zone)


def _moments(given: pl.Series, zone: str) -> pl.Series:
    parts = given.str.extract_groups(PLAIN_MOMENT).struct
    day, clock, mark = (parts.field(name) for name in ("1", "3", "6"))
    local = (day + pl.Series([" "]) + clock).str.to_datetime(
        "%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False
    )
    marked = mark == "Z"
    plain = _where(local.dt.replace_time_zone("UTC"), marked).fill_null(
        _instants(_where(local, ~marked), zone)
    )
    rest = _where(given, plain.is_null())
    return plain.fill_null(_each(rest, lambda text: read_moment(text, ZoneInfo(zone)), INSTANT))


def _instants(given: pl.Series, zone: str) -> pl.Series:
    """Moments in UTC and microseconds; null where digits are lost, or nanoseconds could not hold them."""
    kind = given.dtype
    assert isinstance(kind, pl.Datetime)
    micro = given.cast(pl.Datetime("us", kind.time_zone), strict=False)
    micro = _where(micro, micro.cast(kind, strict=False) == given)
    if kind.time_zone:
        moments = micro.dt.convert_time_zone("UTC")
    else:
        moments = (
            _placed(micro, zone)
            .fill_null(_placed(micro.dt.offset_by("1h"), zone))
            .dt.convert_time_zone("UTC")
        )
    plain = moments.dt.replace_time_zone(None)
    return _where(moments, (plain >= FIRST) & (plain <= LAST))


def _placed(local: pl.Series, zone: str) -> pl.Series:
    return local.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")


def _each(texts: pl.Series, read: Any, kind: Any) -> pl.Series:
    """Every text read one by one, each distinct one once; null where it cannot be."""
    distinct = texts.drop_nulls().unique().to_list()
    values = {text: _or_none(read, text) for text in distinct}
    known = pl.DataFrame({"text": [*values], "read": [*values.values()]}, {"text": pl.String, "read": kind})
    return texts.to_frame("text").join(known, on="text", how="left", maintain_order="left")["read"]


def _or_none(read: Any, text: str) -> Any:
    try:
        return read(text)
    except (MomentError, OverflowError):
        return None


def _where(values: pl.Series, true: pl.Series) -> pl.Series:
    return values.zip_with(true.fill_null(False), pl.Series([None], dtype=values.dtype))


def local_day(moment: datetime, zone: str, days: int = 0) -> str:
    """The day of a moment in a zone as text, so many days later."""
    return (moment.astimezone(ZoneInfo(zone)) + timedelta(days=days)).strftime("%Y-%m-%d")
