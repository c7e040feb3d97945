"""With a real Redis as the online store too, an event posted to the endpoint is in both stores and in the next answer."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from tests.flights.pushing import LATER, NOW, SOURCE, START, UNKNOWN, Running, copied, event, prepared_state
from tests.flights.served import SERVICE


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_state(tmp_path_factory.mktemp("prepared"))


@pytest.fixture
def on_redis(prepared: Path, tmp_path: Path, redis_address: str, redis_client: Redis) -> Running:
    running = copied(prepared, tmp_path / "state", redis_address)
    running.store.materialize(running.store.views(SERVICE), START, NOW)
    return running


def test_a_push_reaches_redis_and_the_offline_store_and_the_next_prediction_uses_it(on_redis, redis_client):
    with on_redis.client() as http:
        before, stored = on_redis.predict(http), dump(redis_client)
        assert before["value"] not in (71.5, UNKNOWN)
        reply = http.post(f"/push/{SOURCE}", json=event())
        assert (reply.status_code, reply.json()["new"]) == (200, 1)
        changed = {key for key, value in dump(redis_client).items() if stored.get(key) != value}
        assert (len(changed), b"EWR" in next(iter(changed))) == (1, True)
        after, offline = on_redis.predict(http), on_redis.offline(LATER)
    assert (after["value"], after["as_of"]) == (71.5, LATER.isoformat())
    assert {name: offline[name] for name in after["features"]} == after["features"]
    assert len(on_redis.pushed_files()) == 1
    with on_redis.client() as restarted:
        assert on_redis.predict(restarted)["value"] == 71.5


def test_on_redis_too_the_last_word_about_a_moment_counts_and_an_older_event_changes_nothing(on_redis):
    with on_redis.client() as http:
        for temp in (60.0, 65.0, 60.0):
            assert http.post(f"/push/{SOURCE}", json=event(temp=temp)).json()["new"] == 1
            assert on_redis.predict(http)["value"] == on_redis.offline(LATER)["temp"] == temp
        older = NOW - timedelta(days=3, minutes=7)
        http.post(f"/push/{SOURCE}", json=event(older, temp=33.0))
        assert on_redis.predict(http)["value"] == 60.0
        assert on_redis.offline(older)["temp"] == 33.0


def test_one_of_the_stores_alone_can_be_pushed_to_with_redis_too(on_redis):
    with on_redis.client() as http:
        http.post(f"/push/{SOURCE}?to=offline", json=event())
        assert on_redis.predict(http)["as_of"] == NOW.isoformat()
        http.post(f"/push/{SOURCE}?to=online", json=event(temp=60.0))
        assert (on_redis.predict(http)["value"], on_redis.offline(LATER)["temp"]) == (60.0, 71.5)


def dump(client: Any) -> dict[bytes, bytes]:
    """Every key of a Redis with its content."""
    return {key: client.dump(key) for key in client.scan_iter()}
