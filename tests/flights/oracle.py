"""The features once more, slowly: loops over every flight for one moment, nothing shared with the code under test."""

from datetime import UTC, datetime, timedelta
from random import Random

import polars as pl

from mlops_assets.use_cases.flights import ingest
from tests.flights import samples

HOUR = timedelta(hours=1)
ORIGINS, DESTS, CARRIERS = ("EWR", "JFK"), ("ORD", "LAX", "SJU"), ("UA", "B6")
TAILS = ("N1", "N2", "N3", None)


def random_plans(seed: int, start: datetime, days: int, flights: int) -> list[dict]:
    """Arguments of `samples.flight`: some late, some cancelled, some diverted, a few without a tail number."""
    dice = Random(seed)
    plans = []
    for _ in range(flights):
        departs = start + timedelta(minutes=dice.randrange(days * 24 * 12) * 5)
        if departs.hour < 4:
            departs += 5 * HOUR
        late = dice.choice((-5, 0, 3, 20, 90, 400))
        fate = dice.random()
        plans.append(
            {
                "departs": f"{departs:%Y-%m-%d %H:%M}",
                "minutes": dice.choice((70, 150, 345)),
                "dep_delay": None if fate < 0.08 else late,
                "arr_delay": None if fate < 0.13 else late + dice.randrange(-20, 30),
                "carrier": dice.choice(CARRIERS),
                "number": dice.randrange(1, 60),
                "tailnum": dice.choice(TAILS),
                "origin": dice.choice(ORIGINS),
                "dest": dice.choice(DESTS),
            }
        )
    names = ("departs", "carrier", "number", "origin", "dest")
    return list({tuple(str(p[n])[:10] for n in names): p for p in plans}.values())


def random_flights(seed: int, start: datetime, days: int, flights: int) -> pl.DataFrame:
    """The same as rows of `flights/raw`."""
    zones = samples.ZONES | samples.CARIBBEAN
    airports = pl.DataFrame(list(zones.items()), ["faa", "tzone"], orient="row")
    lines = [samples.flight(**plan) for plan in random_plans(seed, start, days, flights)]
    return ingest.flights(samples.typed(pl.DataFrame(lines)), airports)


def traffic(flights: list[dict], now: datetime) -> dict[str, float | None] | None:
    """What has been known of these flights' last hours at `now`; None if nothing happened."""
    recent = now - 3 * HOUR
    left = [f["dep_delay"] for f in flights if f["departed_at"] and recent < f["departed_at"] <= now]
    landed = [f["arr_delay"] for f in flights if f["arrived_at"] and recent < f["arrived_at"] <= now]
    gone = [f for f in flights if f["cancelled"] and recent < f["scheduled_departure"] <= now]
    waits = [
        (now - f["scheduled_departure"]).total_seconds() / 60
        for f in flights
        if f["departed_at"]
        and f["scheduled_departure"] <= now < f["departed_at"]
        and now < f["scheduled_departure"] + 4 * HOUR
    ]
    if not (left or landed or gone or waits):
        return None
    return {
        "departures": len(left),
        "delay": mean(left),
        "late_share": mean([d > 15 for d in left]),
        "arrival_delay": mean(landed),
        "cancelled": len(gone),
        "overdue": len(waits),
        "overdue_minutes": sum(waits),
    }


def dest_traffic(flights: list[dict], now: datetime) -> dict[str, float | None] | None:
    """The same for flights to one destination."""
    recent = now - 3 * HOUR
    left = [f["dep_delay"] for f in flights if f["departed_at"] and recent < f["departed_at"] <= now]
    landed = [f["arr_delay"] for f in flights if f["arrived_at"] and recent < f["arrived_at"] <= now]
    gone = [f for f in flights if f["arr_delay"] is None and recent < outcome(f) <= now]
    if not (left or landed or gone):
        return None
    return {
        "arrivals": len(landed),
        "arrival_delay": mean(landed),
        "late_share": mean([d > 15 for d in landed]),
        "departure_delay": mean(left),
        "lost": len(gone),
    }


def record(flights: list[dict], now: datetime) -> dict[str, float | None] | None:
    """Arrivals of the four weeks before `now`."""
    known = [f for f in flights if now - timedelta(days=28) < outcome(f) <= now]
    landed = [f["arr_delay"] for f in known if f["arr_delay"] is not None]
    if not known:
        return None
    return {
        "late_share_28d": mean([d > 15 for d in landed]),
        "delay_28d": mean(landed),
        "flights": len(known),
    }


def aircraft(flights: list[dict], now: datetime) -> tuple[int, float | None, datetime, datetime] | None:
    """Status, delay, when it is free and when that was seen, of the flights of one aircraft."""
    seen = []
    for f in flights:
        due, flown = f["scheduled_departure"], f["scheduled_arrival"]
        if f["departed_at"] and f["departed_at"] > due:
            seen.append((due, due, 0, 0.0, flown))
        if f["departed_at"]:
            late = max(f["dep_delay"], 0)
            seen.append((f["departed_at"], due, 1, f["dep_delay"], flown + timedelta(minutes=late)))
        if f["arrived_at"]:
            seen.append((f["arrived_at"], due, 2, f["arr_delay"], f["arrived_at"]))
        if f["arr_delay"] is None:
            seen.append((outcome(f), due, 3, None, flown))
    past = [s for s in seen if s[0] <= now]
    if not past:
        return None
    moment, _, status, delay, free = max(past, key=lambda s: (*s[:3], s[4], s[3] is None, s[3] or 0))
    return status, delay, free, moment


def outcome(flight: dict) -> datetime:
    """When the end of a flight became known."""
    if flight["cancelled"]:
        return flight["scheduled_departure"]
    if flight["arrived_at"] is None:
        planned = flight["scheduled_arrival"] - flight["scheduled_departure"]
        return flight["departed_at"] + planned + timedelta(hours=4)
    return flight["arrived_at"]


def mean(values: list) -> float | None:
    return sum(values) / len(values) if values else None


def moments(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    """Grid times with start <= T < end, counted from the unix epoch."""
    size = int(step.total_seconds())
    first = -(-int(start.timestamp()) // size) * size
    return [datetime.fromtimestamp(s, UTC) for s in range(first, int(end.timestamp()), size)]
