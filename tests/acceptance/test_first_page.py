"""The endpoint's first page in a real browser: a form sends a real request, and whatever is shown is text and nothing else."""

import asyncio
import html
import json
import re
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

import pytest
import uvicorn
from pydantic import BaseModel, ConfigDict, Field

from docs import screenshots
from resources.serving.http.page.fields import FormField, form_fields
from resources.serving.http.page.first_page import POLICY, _sparkline
from resources.serving.http.page.words import age
from tests.resources.endpoint_in_process import TRIP, client, endpoint
from tests.resources.test_explanations import Explaining

HOSTILE = "<img src=x onerror=\"document.title='caught'\">'\"&"


@contextmanager
def served(app: Any, port: int) -> Iterator[str]:
    """The application behind a real server in a thread of its own; its address."""
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="warning"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def app(tmp_path):
    made = endpoint(tmp_path)
    models = made.state.models
    models.served = {n: replace(m, scorer=Explaining(b'{"slope": 2.0}')) for n, m in models.served.items()}
    return made


@pytest.fixture
def address(app, free_port, chromium):
    with served(app, free_port()) as address:
        yield address


@pytest.fixture
def page(address):
    """The page, opened; whatever it asks of another host, and whatever its console says, fails the test."""
    with screenshots.browser(1200, 900) as page:
        asked, said = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(address)
        yield page
        assert [url for url in asked if not url.startswith(address)] == []
        assert [one for one in said if "422" not in one] == []


def card(page: Any, name: str = "trips") -> Any:
    return page.locator("[data-model]").filter(has=page.get_by_role("heading", name=name, exact=True))


def test_a_form_sends_a_real_request_and_shows_answer_features_and_explanation(page, app):
    trips = card(page)
    assert trips.get_by_text("answers", exact=True).is_visible()
    trips.get_by_label("distance").fill("4")
    trips.get_by_label("leaves_at").fill(TRIP["leaves_at"])
    trips.get_by_role("button", name="Predict").click()
    answer = trips.locator(".answer")
    answer.wait_for()
    assert answer.locator("strong").inner_text() == "32"
    assert "value by version 1" in answer.inner_text()
    bars = trips.locator(".bars tr").all_inner_texts()
    assert [re.split(r"\s*\t\s*", line)[0] for line in bars] == [
        "before any feature",
        "distance_squared = 16",
        "unknown = missing",
        "value",
    ]
    assert trips.locator(".bars rect.up").first.evaluate("bar => bar.getBBox().width") == pytest.approx(49)
    trips.get_by_text("3 features as of").click()
    assert "distance_squared" in trips.locator(".values").inner_text()
    assert app.state.models.log._counts.rows == {("trips", "1"): 1}


def test_what_is_wrong_stands_at_its_field_and_goes_when_it_is_right(page):
    trips = card(page)
    trips.get_by_label("distance").fill("far")
    trips.get_by_role("button", name="Predict").click()
    wrong = trips.locator("label.wrong")
    wrong.wait_for()
    assert wrong.locator("span").first.inner_text() == "distance" and "number" in wrong.inner_text()
    assert "422" in trips.get_by_role("alert").inner_text()
    trips.get_by_label("distance").fill("3")
    trips.get_by_role("button", name="Predict").click()
    trips.locator(".answer").wait_for()
    assert trips.locator("label.wrong").count() == 0 and not trips.get_by_role("alert").is_visible()


def test_the_curl_line_says_what_the_form_says_and_is_copied(page, address, app):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    trips = card(page)
    trips.get_by_label("distance").fill("5")
    trips.get_by_role("button", name="Copy").click()
    trips.get_by_role("button", name="Copied").wait_for()
    line = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    assert line[:3] == ["curl", "-X", "POST"] and line[3] == f"{address}/v1/models/trips/predict"
    body = json.loads(line[line.index("-d") + 1])
    assert body["distance"] == 5
    assert client(app).post(line[3].removeprefix(address), json=body).json()["value"] == 50.0


def test_the_page_follows_the_traffic_and_leaves_forms_and_answers_as_they_are(page, app):
    trips = card(page)
    trips.get_by_label("distance").fill("6")
    for _ in range(3):
        client(app).post("/predict/trips", json=TRIP)
    trips.locator("dd").filter(has_text="3 rows").wait_for(timeout=20_000)
    assert trips.get_by_label("distance").input_value() == "6"


def test_it_fits_a_narrow_screen_and_a_dark_one_is_dark(page):
    page.set_viewport_size({"width": 360, "height": 800})
    screenshots.open_answer(page, page.url, "trips")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="light")
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert (
        sum(map(int, re.findall(r"\d+", page.evaluate(ground))[:3]))
        < 100
        < sum(map(int, re.findall(r"\d+", light)[:3]))
    )


def test_a_model_that_cannot_be_explained_is_asked_without(tmp_path, free_port, chromium):
    with served(endpoint(tmp_path), free_port()) as address, screenshots.browser(1000, 800) as page:
        page.goto(address)
        card(page).get_by_role("button", name="Predict").click()
        card(page).locator(".answer").wait_for()
        assert card(page).locator(".bars").count() == 0


class Strange(BaseModel):
    """A request whose every word is hostile."""

    model_config = ConfigDict(title=HOSTILE)
    distance: Annotated[float, Field(description=HOSTILE, examples=[3.0])]
    leaves_at: Annotated[str, Field(examples=[HOSTILE])]
    kind: Literal["a", "<b>'\""] | None = None


def test_whatever_a_record_or_a_request_says_is_shown_as_text(app, free_port, chromium):
    models = app.state.models
    old = models.served["trips"]
    record = old.record.model_copy(update={"owner": HOSTILE, "version": HOSTILE, "feature_service": HOSTILE})
    models.served = {"trips": replace(old, record=record, request=Strange)}
    models.problems = {"trips": HOSTILE, f"other{HOSTILE}": HOSTILE}
    text = client(app).get("/").text
    assert HOSTILE not in text and "<img" not in text and html.escape(HOSTILE, quote=True) in text
    with served(app, free_port()) as address, screenshots.browser(1000, 800) as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(address)
        assert card(page).get_by_label("leaves_at").input_value() == HOSTILE
        page.locator("[data-model=trips]").get_by_role("button", name="Predict").click()
        page.get_by_role("alert").filter(has_text="500").wait_for()
        page.wait_for_timeout(300)
        assert page.locator("img").count() == 0 and page.title() == "Deployed models"
        assert [one for one in said if "500" not in one] == []


def test_a_browser_may_run_the_pages_own_script_alone_and_ask_this_endpoint_alone(app):
    reply = client(app).get("/")
    assert reply.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY and "default-src 'none'" in POLICY and "connect-src 'self'" in POLICY
    assert not re.search(r"""(src|href)=["']?(https?:)?//|\son\w+=|\sstyle=""", reply.text)


def test_problems_holds_and_models_that_are_gone_are_told(app):
    models = app.state.models
    models.problems = {"broken": "RecordError: the file is away"}
    text = client(app).get("/").text
    assert "has a problem" in text and "the file is away" in text
    models.problems, models.served = {}, {}
    assert "No model is deployed yet" in client(app).get("/").text


class Color(StrEnum):
    red = "red"
    blue = "blue"


class Part(BaseModel):
    """A part."""

    size: int


class Order(BaseModel):
    """All kinds of fields."""

    code: Annotated[str, Field(pattern="^[A-Z]+$", description="its code", examples=["AB"])]
    count: Annotated[int, Field(ge=1, le=9)]
    weight: float | None = None
    quick: bool
    color: Color | None = None
    at: datetime
    parts: list[Part] = []


def test_fields_are_made_from_the_model_of_the_request():
    assert form_fields(Order) == [
        FormField("code", "text", True, "AB", "its code"),
        FormField("count", "number", True, "1", "a whole number, from 1, to 9"),
        FormField("weight", "number", False, "", "a number"),
        FormField("quick", "boolean", True, "false", ""),
        FormField("color", "choice", False, "", "", ("red", "blue")),
        FormField("at", "text", True, "2024-06-03T12:00:00Z", "a moment, ISO 8601 with its zone"),
        FormField("parts", "json", False, "", ""),
    ]


def test_ages_and_the_last_minute_are_told_in_words():
    told = [age(seconds) for seconds in (-5, 3, 61, 7200, 90_000, 4e8)]
    assert told == [
        "ahead of the clock",
        "just now",
        "1 minute ago",
        "2 hours ago",
        "1 day ago",
        "12 years ago",
    ]
    picture = _sparkline([0] * 58 + [1, 4])
    assert picture.count("<rect") == 2 and 'aria-label="5 requests in the last minute"' in picture
    assert 'height="20.0"' in picture
