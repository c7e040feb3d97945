"""Moments in every way that ISO 8601 writes them, and values that could be read in two."""

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import strategies as st

moments = st.datetimes(datetime(1678, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC))
offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timedelta(minutes=minutes))

TEXTS = """
01/02/2024 10:00|01/02/2024|1.2.2024 10:00|01-02-2024 10:00:00Z|2024/02/01 10:00|01/02/2024T10:00:00Z
24-02-01T10:00:00Z|02-01T10:00Z|1 Feb 2024 10:00|Thu, 01 Feb 2024 10:00:00 GMT|now|today|| |2024|2024-02
2024-W05-4T10:00:00Z|2024-032T10:00:00Z|10:00|10:00:00Z|2024-02-01T10:00:00 EST|2024-02-01T10:00:00 PM
2024-02-01T10:00:00+25:00|2024-02-01x10:00:00Z|1706781600|1706781600000|1706781600.5|20240201|20240201100000
nan|inf|-1| 2024-02-01T10:00:00Z|2024-02-01T10:00:00ZZ|2024-2-1T10:00:00Z|2024-02-01T1:00Z
"""
NUMBERS: list[object] = [1706781600, 1706781600000, 1706781600.5, 0, -1, True, float("nan"), float("inf")]
AMBIGUOUS: list[object] = [
    *(text for line in TEXTS.strip().splitlines() for text in line.split("|")),
    *("2024-02-01T10:00:00Z\n", "\u0662024-02-01T10:00:00Z", [2024, 2, 1], {"year": 2024}),
    *NUMBERS,
]


@st.composite
def spellings(draw: st.DrawFn, now: datetime) -> str:
    """A text that says the moment: any offset, separator, precision and way to write the zone."""
    offset = draw(offsets)
    local = now.astimezone(timezone(offset))
    fraction = draw(st.sampled_from([f"{local:.%f}", f"{local:,%f}", f"{local:.%f}000"]))
    if not local.microsecond:
        fraction = draw(st.sampled_from([fraction, "", ".0"]))
    clock = f"{local:%H:%M:%S}{fraction}"
    if not local.second and not local.microsecond and draw(st.booleans()):
        clock = f"{local:%H:%M}"
    hours, minutes = divmod(abs(offset) // timedelta(minutes=1), 60)
    sign = "-" if offset < timedelta(0) else "+"
    zones = [f"{sign}{hours:02}:{minutes:02}", f"{sign}{hours:02}{minutes:02}"]
    zones += [f"{sign}{hours:02}"] if not minutes else []
    zones += ["Z", "z"] if not offset else []
    separator, gap = draw(st.sampled_from(["T", "t", " "])), draw(st.sampled_from(["", " "]))
    return f"{local.year:04}-{local:%m-%d}{separator}{clock}{gap}{draw(st.sampled_from(zones))}"
