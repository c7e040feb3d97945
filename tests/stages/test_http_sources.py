"""A web address gives the rows of a span, page after page, in the types that they have there; or it is said why it cannot."""

import gzip
import io
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from mlops_assets.spec.table import TableSpec
from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import read_rows, refuse_unfit_source
from tests.declared import END, START, loans, loans_frame
from tests.web_shop import Asked, Reply, Shop, served

WEEK = SimpleNamespace(start=START, end=END)
WHOLE = SimpleNamespace(start=None, end=None)
SECRET = "open/sesame+42 7"


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    with served() as found:
        monkeypatch.setenv("SHOP", found.url)
        yield found


def source(**changes: Any) -> dict[str, Any]:
    said = {"kind": "http", "url": "${SHOP}/loans", "parameters": {"from": ":start", "to": ":end"}, **changes}
    return {name: value for name, value in said.items() if value is not None}


def rows_of(spec: TableSpec, span: Any = WEEK) -> pl.DataFrame:
    return read_rows(spec, Path("/"), span).frame


def refusal(spec: TableSpec, span: Any = WEEK) -> str:
    with pytest.raises(SourceError) as caught:
        read_rows(spec, Path("/"), span)
    return str(caught.value)


def as_json(frame: pl.DataFrame) -> list[dict[str, Any]]:
    return frame.with_columns(pl.col("applied_at").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_dicts()


def between(frame: pl.DataFrame, query: dict[str, str]) -> pl.DataFrame:
    """What a server gives that was asked for a span."""
    start, end = (datetime.fromisoformat(query[name]) for name in ("from", "to"))
    return frame.filter(pl.col("applied_at").is_between(start, end, closed="left"))


LOANS = loans_frame(*range(1, 16))
OF_THE_WEEK = LOANS.filter(pl.col("applied_at") < END)


def in_one(asked: Asked) -> Reply:
    return Reply(as_json(between(LOANS, asked.query)))


def test_the_rows_of_a_partition_are_asked_for_by_its_moments(shop):
    shop.answer = in_one
    assert rows_of(loans(source=source())).equals(OF_THE_WEEK)
    assert shop.queries == [{"from": "2024-01-01T00:00:00Z", "to": "2024-01-08T00:00:00Z"}]


PAGED = {
    "page": ({"by": "page", "parameter": "page"}, 4),
    "offset": ({"by": "offset", "parameter": "skip"}, 4),
    "cursor": ({"by": "cursor", "parameter": "after", "next": "meta.next"}, 3),
    "link in the answer": ({"by": "link", "next": "meta.next"}, 3),
    "link in the header": ({"by": "link"}, 3),
}


def in_pages(by: str, rows: int = 3) -> Callable[[Asked], Reply]:
    """A server that gives three rows at a time and says in its own way how to go on; a cursor is no number."""

    def answer(asked: Asked) -> Reply:
        found, query = as_json(between(LOANS, asked.query)), dict(asked.query)
        first = {
            "page": lambda: (int(query["page"]) - 1) * rows,
            "offset": lambda: int(query["skip"]),
            "cursor": lambda: int(query.get("after", "c0=").strip("c=")),
        }.get(by, lambda: int(query.get("at", 0)))()
        last = first + rows >= len(found)
        following = f"/loans?at={first + rows}&from={query['from']}&to={query['to']}"
        said = None if last else f"c{first + rows}=" if by == "cursor" else following
        header = {"Link": f'<{following}>; rel="next"'} if by == "link in the header" and not last else {}
        return Reply({"items": found[first : first + rows], "meta": {"next": said}}, headers=header)

    return answer


@pytest.mark.parametrize("by", PAGED)
def test_pages_of_every_kind_give_all_rows_once(shop, by):
    pages, requests = PAGED[by]
    shop.answer = in_pages(by)
    assert rows_of(loans(source=source(rows="items", pages=pages))).equals(OF_THE_WEEK)
    assert len(shop.asked) == requests


def test_csv_is_read_page_by_page_as_files_are(shop):
    def answer(asked: Asked) -> Reply:
        found, first = between(LOANS, asked.query), int(asked.query["skip"])
        return Reply(found[first : first + 3].write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ"))

    shop.answer = answer
    by_offset = {"by": "offset", "parameter": "skip"}
    assert rows_of(loans(source=source(format="csv", pages=by_offset))).equals(OF_THE_WEEK)
    shop.answer = lambda asked: Reply(
        "loan_id,amount,zipcode,applied_at\n1,much,10001,2024-01-01T12:00:00Z\n"
    )
    assert "row 1, column 'amount': 'much' is not a finite number" in refusal(
        loans(source=source(format="csv"))
    )


TYPES = {
    "int": ("int", 2**63 - 1, 2**63 - 1),
    "a whole float for an int": ("int", 3.0, 3),
    "float": ("float", 0.1 + 0.2, 0.1 + 0.2),
    "an int for a float": ("float", 3, 3.0),
    "str": ("str", 'Zoë\'s "shop" 007', 'Zoë\'s "shop" 007'),
    "bool": ("bool", True, True),
    "date": ("date", "2024-02-29", date(2024, 2, 29)),
    "datetime": (
        "datetime",
        "2024-02-29T13:30:15.123456+01:00",
        datetime(2024, 2, 29, 12, 30, 15, 123456, UTC),
    ),
}


@pytest.mark.parametrize("case", TYPES)
def test_a_value_keeps_its_type_and_a_missing_one_stays_missing(shop, case):
    kind, written, value = TYPES[case]
    shop.answer = lambda _: Reply(
        [{"number": 1, "value": written}, {"number": 2, "value": None}, {"number": 3}]
    )
    spec = loans(
        source=source(parameters=None),
        columns={"number": "int", "value": f"{kind} | null"},
        key=["number"],
        time=None,
    )
    assert rows_of(spec, WHOLE)["value"].to_list() == [value, None, None]


def test_a_value_inside_another_is_named_by_its_place(shop):
    shop.answer = lambda _: Reply(
        [{"loan": {"id": 7, "of": {"zip": "10001"}}}, {"loan": {"id": 8, "of": None}}]
    )
    said = source(parameters=None, fields={"loan_id": "loan.id", "zipcode": "loan.of.zip"})
    spec = loans(source=said, columns={"loan_id": "int", "zipcode": "str | null"}, key=["loan_id"], time=None)
    assert rows_of(spec, WHOLE).rows() == [(7, "10001"), (8, None)]


@pytest.mark.parametrize(
    ("moments", "first", "last"),
    [
        ("iso", "2023-12-31T23:00:00Z", "2024-01-01T05:30:00Z"),
        ("day", "2024-01-01", "2024-01-02"),
        ("seconds", "1704063600", "1704087000"),
        ("milliseconds", "1704063600000", "1704087000000"),
    ],
)
def test_a_moment_is_written_as_the_server_reads_it(shop, moments, first, last):
    start = datetime(2023, 12, 31, 23, tzinfo=UTC)
    span = SimpleNamespace(start=start, end=start + timedelta(hours=6.5))
    spec = loans(source=source(moments=moments), timezone="Europe/Berlin", empty="allowed")
    assert rows_of(spec, span).height == 0
    assert shop.queries == [{"from": first, "to": last}]


def test_a_span_without_rows_is_waited_for(shop):
    with pytest.raises(NotYetThereError, match="no row from 2024-01-01"):
        rows_of(loans(source=source()))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_the_pause_that_the_server_asks_for(shop, monkeypatch, status):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    replies = iter([Reply(status=status, headers={"Retry-After": "7"}), Reply(status=status)])
    shop.answer = lambda asked: next(replies, None) or in_one(asked)
    assert rows_of(loans(source=source())).equals(OF_THE_WEEK)
    assert pauses == [7.0, 1.0]


def test_a_retry_after_that_is_a_date_goes_by_the_servers_clock(shop, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr("tenacity.nap.time.sleep", pauses.append)
    clock = {"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:05 GMT"}
    said = [Reply(status=503, headers=clock)]

    def answer(asked: Asked) -> Reply:
        return said.pop() if said else in_one(asked)

    shop.answer = answer
    assert rows_of(loans(source=source())).equals(OF_THE_WEEK) and len(pauses) == 1 and pauses[0] >= 5.0


def test_a_pause_longer_than_the_time_that_is_left_is_not_waited_for(shop, monkeypatch):
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: pytest.fail("it waits"))
    shop.answer = lambda _: Reply(status=429, headers={"Retry-After": "3600"})
    assert "answers 429 (Too Many Requests)" in refusal(loans(source=source(within="30s")))
    assert len(shop.asked) == 1


def test_what_will_not_pass_is_told_and_asked_once(shop):
    shop.answer = lambda _: Reply("no such\n shop", 404)
    assert "answers 404 (Not Found): no such shop" in refusal(loans(source=source()))
    assert len(shop.asked) == 1


def test_an_answer_that_is_cut_off_is_asked_for_again(shop):
    whole = in_one(Asked("", {"from": f"{START}", "to": f"{END}"}, {}))
    replies = iter([Reply(whole.content[:50], headers={"Content-Length": str(len(whole.content))})])
    shop.answer = lambda _: next(replies, whole)
    assert rows_of(loans(source=source())).equals(OF_THE_WEEK) and len(shop.asked) == 2


def test_too_much_is_refused_also_when_it_was_packed_small_and_in_all_pages_together(shop):
    body = gzip.compress(b"[" + b" " * 5_000_000 + b"]")
    shop.answer = lambda _: Reply(body, headers={"Content-Encoding": "gzip"})
    assert len(body) < 20_000
    assert "gives more than 1 MB: ask for fewer rows" in refusal(loans(source=source(most_megabytes=1)))
    shop.answer = lambda asked: Reply([{"number": asked.query["page"], "of": "x" * 400_000}])
    paged = source(most_megabytes=1, pages={"by": "page", "parameter": "page"}, parameters=None)
    spec = loans(source=paged, columns={"number": "str"}, key=["number"], time=None)
    assert "gives more than 1 MB" in refusal(spec, WHOLE)


def test_a_server_that_never_ends_its_pages_is_not_followed_for_ever(shop):
    shop.answer = in_one
    assert "is the page before it again" in refusal(
        loans(source=source(pages={"by": "page", "parameter": "p"}))
    )
    shop.answer = lambda _: Reply({"items": [], "next": "again"})
    by_cursor = source(rows="items", pages={"by": "cursor", "parameter": "c", "next": "next"})
    assert "names a page that was read already" in refusal(loans(source=by_cursor))


def test_a_missing_column_and_one_of_another_type_are_told_by_name(shop):
    rows = as_json(OF_THE_WEEK)
    shop.answer = lambda _: Reply([{**row, "code": row["zipcode"]} | {"zipcode": None} for row in rows])
    assert rows_of(loans(source=source()))["zipcode"].null_count() == 7
    shop.answer = lambda _: Reply([{name: row[name] for name in row if name != "zipcode"} for row in rows])
    assert (
        "has no column 'zipcode' (at zipcode) in any of 7 rows; it has amount, applied_at, loan_id"
        in refusal(loans(source=source()))
    )
    assert rows_of(loans(source=source(omitted="missing")))["zipcode"].null_count() == 7
    shop.answer = lambda _: Reply([{**row, "amount": "much" if row["loan_id"] == 3 else 1} for row in rows])
    assert "column 'amount': a number in row 1 and a text in row 3" in refusal(loans(source=source()))
    shop.answer = lambda _: Reply([{**row, "zipcode": 10001} for row in rows])
    assert "column 'zipcode' is Int64, which is not a text" in refusal(loans(source=source()))
    shop.answer = lambda _: Reply([{**row, "zipcode": {"code": "10001"}} for row in rows])
    assert "fields: {zipcode: zipcode.NAME}" in refusal(loans(source=source()))
    shop.answer = lambda _: Reply([{**row, "loan_id": 2**70} for row in rows])
    assert f"{2**70} is not a whole number of 64 bits" in refusal(loans(source=source()))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<html>Sign in</html>", "is no JSON"),
        ({"data": []}, "the answer is an object, expected is a list of rows; it has data"),
        ([1], "row 1 is 1, expected is an object"),
    ],
)
def test_an_answer_that_is_no_rows_is_told(shop, body, says):
    shop.answer = lambda _: Reply(body)
    assert says in refusal(loans(source=source()))


def test_a_look_at_the_source_asks_for_little_and_tells_what_is_wrong(shop):
    assert refuse_unfit_source(loans(source=source()), Path("/")) == "read from ${SHOP}/loans"
    assert shop.queries == [{"from": "1970-01-02T00:00:00Z", "to": "1970-01-03T00:00:00Z"}]
    shop.answer = lambda _: Reply(as_json(OF_THE_WEEK.rename({"zipcode": "code"})))
    with pytest.raises(SourceError, match="has no column 'zipcode'"):
        refuse_unfit_source(loans(source=source()), Path("/"))


SECRETS = {"headers": {"Authorization": "SHOP_TOKEN"}, "tokens": {"api_key": "SHOP_KEY"}}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", f"Bearer {SECRET}")
    monkeypatch.setenv("SHOP_KEY", SECRET)


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """What all libraries log, at the lowest level."""
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.removeHandler(handler)
    root.setLevel(level)


def written(text: str) -> bool:
    """Whether the secret stands in a text in any of the ways in which it may be written."""
    return any(form in text for form in (SECRET, "open%2Fsesame", "open/sesame", "sesame"))


def test_secrets_go_to_the_shop_and_to_no_log_note_or_error(shop, secrets, everything_logged):
    shop.answer = in_one
    rows = read_rows(loans(source=source(**SECRETS)), Path("/"), WEEK)
    [asked] = shop.asked
    assert asked.headers["authorization"] == f"Bearer {SECRET}" and asked.query["api_key"] == SECRET
    said = [repr(rows.notes), repr(loans(source=source(**SECRETS)))]
    for status in (400, 401, 503):
        shop.answer = lambda asked, status=status: Reply(
            f"you sent {asked.headers['authorization']} and {asked.query['api_key']}", status
        )
        said.append(refusal(loans(source=source(**SECRETS))))
    shop.answer = lambda asked: Reply({"echo": asked.headers["authorization"]})
    said.append(refusal(loans(source=source(**SECRETS, rows="echo"))))
    logged = everything_logged.getvalue()
    assert "/loans" in logged and [text for text in [*said, logged] if written(text)] == []


@pytest.mark.parametrize("by", ["redirect", "link"])
def test_no_secret_goes_to_another_host(shop, secrets, by):
    with served() as other:
        other.answer = in_one
        query = "from=2024-01-01T00:00:00Z&to=2024-01-08T00:00:00Z"
        target = f"{other.url.replace('127.0.0.1', 'localhost')}/loans?{query}"
        shop.answer = (
            (lambda _: Reply(status=302, headers={"Location": target}))
            if by == "redirect"
            else (lambda _: Reply([], headers={"Link": f'<{target}>; rel="next"'}))
        )
        said = source(**SECRETS, pages={"by": "link"})
        assert rows_of(loans(source=said)).equals(OF_THE_WEEK)
        assert shop.asked[0].headers["authorization"] == f"Bearer {SECRET}"
        [asked] = other.asked
        assert not written(f"{asked.headers} {asked.query}") and "authorization" not in asked.headers
        other.answer = lambda _: Reply(status=401)
        assert ("it was redirected there" in refusal(loans(source=said))) == (by == "redirect")


def test_a_variable_that_is_not_set_is_named(shop, monkeypatch):
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    assert "needs the environment variable SHOP_TOKEN" in refusal(loans(source=source(**SECRETS)))
    monkeypatch.setenv("SHOP", "http://user:sesame@127.0.0.1:1")
    told = refusal(loans(source=source()))
    assert "has a user in it" in told and not written(told)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "shop.example/loans"}, "is no web address"),
        ({"url": "ftp://shop.example/loans"}, "is no web address"),
        ({"url": "https://me:sesame@shop.example"}, "has a user before its host"),
        ({"url": "https://shop.example/loans?limit=5"}, r"write it as parameters: {limit: ...}"),
        ({"parameters": {"api_key": "abc"}}, r"write tokens: {api_key: SHOP_TOKEN}"),
        ({"parameters": {"from": ":begin"}}, "which nobody fills in"),
        ({"headers": {"Authorization": "Bearer abc"}}, "is no name of a variable"),
        ({"pages": {"by": "page"}}, "need the name of the query parameter"),
        ({"pages": {"by": "cursor", "parameter": "c"}}, "pages by cursor need next"),
        ({"pages": {"by": "offset", "parameter": "o", "next": "meta.next"}}, "leave next out"),
        ({"format": "csv", "rows": "items"}, "the answers are CSV"),
        ({"within": "0s"}, "less than a second"),
    ],
)
def test_what_cannot_be_asked_is_refused_when_the_spec_is_read(changes, says):
    with pytest.raises(ValueError, match=says):
        loans(source=source(**changes))


def test_a_static_table_asks_for_no_span():
    with pytest.raises(ValueError, match="is static, read whole"):
        loans(source=source(), time=None)
