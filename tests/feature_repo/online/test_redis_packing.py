"""Numbers that are read packed are those of the hash, whoever wrote, deleted or renamed what, and whenever."""

import socket
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Float32, Float64, Int32, Int64, String
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from feature_repo.online_store.batch import of_rows
from feature_repo.online_store.redis import commands
from feature_repo.online_store.redis.commands import BY_FIELD_FOR
from feature_repo.online_store.redis.renaming import rename_project
from tests.feature_repo.online.shop import BULK, NOW, PROJECT, customer, opened, view, write

VIEWS: dict[str, dict[str, tuple[Any, str, list[Any]]]] = {
    "figures": {
        "share": (Float32, "float_val", [0.0, 1.5, -3e30]),
        "sum": (Float64, "double_val", [0.1, -1e200]),
        "count": (Int64, "int64_val", [0, 2**40, -1]),
        "small": (Int32, "int32_val", [7, -7]),
        "word": (String, "string_val", ["", "Ærø"]),
    },
    "wide": {f"w{n}": (Float64, "double_val", [n + 0.5, -1.0]) for n in range(12)},
}
"""Feast's type, the field of its message and some values of every feature; rows of the second take several fields."""

CUSTOMERS = (1, 2)
DATABASE = 10


class Shared:
    """One Redis database: our store, and Feast's own in its two ways, of which one writes whatever is there."""

    def __init__(self, folder: Path, port: int) -> None:
        self.client, self.address = (
            Redis(port=port, db=DATABASE),
            f"redis://127.0.0.1:{port}/{DATABASE}",
        )
        place = {"connection_string": f"127.0.0.1:{port},db={DATABASE}"}
        self.place = {"type": BULK["redis"], **place}
        self.ours = opened(folder, self.place)
        self.stock = opened(folder, {"type": "redis", **place})
        self.blunt = opened(folder, {"type": "redis", "skip_dedup": True, **place})
        columns = {"customer_id": [1]}
        views = []
        for name, features in VIEWS.items():
            write(folder, name, columns)
            schema = {"customer_id": Int64} | {feature: one[0] for feature, one in features.items()}
            views.append(view(folder, name, [customer], schema))
        self.ours.apply([customer, *views])
        self.views = {one.name: one for one in views}
        self.references = [f"{name}:{feature}" for name, features in VIEWS.items() for feature in features]

    def write(self, store: FeatureStore, name: str, rows: list[Any]) -> None:
        online(store).online_write_batch(store.config, self.views[name], rows, None)

    def write_and_die(self, name: str, rows: list[Any], share: float) -> None:
        """Send only a part of what a write would send, and hang up."""

        port = self.client.connection_pool.connection_kwargs["port"]

        class Cut:
            def run(self, client: Any, script: str, calls: Any, progress: Any) -> None:
                client.script_load(script)
                for call, _rows in calls:
                    with socket.create_connection(("127.0.0.1", port)) as wire:
                        wire.sendall(b"*2\r\n$6\r\nSELECT\r\n$2\r\n%d\r\n" % DATABASE)
                        wire.sendall(call[: int(len(call) * share)])

        store, whole = online(self.ours), online(self.ours)._wires
        store._wires = Cut()
        try:
            for batch in of_rows(self.ours.config, rows):
                store.merge(self.ours.config, self.views[name], batch)
        finally:
            store._wires = whole

    def agree(self) -> None:
        """Both ways of ours say what stock Feast says, cell by cell, for one row and for all."""
        for customers in ([*CUSTOMERS, 99], [1]):
            theirs = self.answer(self.stock, customers)
            for _ in range(2):
                assert self.answer(self.ours, customers) == theirs

    def answer(self, store: FeatureStore, customers: list[int]) -> Any:
        found = store.get_online_features(self.references, {"customer_id": customers}).to_dict(True)
        return {name: repr(found[name]) for name in sorted(found)}

    def key(self, number: int) -> bytes:
        return serialize_entity_key(key_of(number), 3) + PROJECT.encode()

    def hash_of(self, number: int) -> dict[bytes, bytes]:
        return self.client.hgetall(self.key(number))  # type: ignore[return-value]


def online(store: FeatureStore) -> Any:
    return store._get_provider().online_store  # type: ignore[attr-defined]


def key_of(number: int) -> EntityKey:
    return EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=number)])


def row(
    name: str, number: int, minute: int, choice: int, created: int | None = None, some: bool = False
) -> Any:
    """What Feast hands to a store; the choice picks the values, 0 leaves some empty; `some` are only the first two features."""
    values = {}
    for place, (feature, (_, field, known)) in enumerate(VIEWS[name].items()):
        picked = (choice + place) % (len(known) + 1)
        values[feature] = Value() if picked == 0 else Value(**{field: known[picked - 1]})
    if some:
        values = dict(list(values.items())[:2])
    made = None if created is None else NOW + timedelta(seconds=created)
    return key_of(number), values, NOW - timedelta(minutes=minute, microseconds=minute % 2), made


@pytest.fixture(scope="module")
def shared(redis_port: int, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    return Shared(tmp_path_factory.mktemp("shared"), redis_port)


names, numbers, choices = st.sampled_from(list(VIEWS)), st.sampled_from(CUSTOMERS), st.integers(0, 5)
rows = st.tuples(numbers, st.integers(0, 1), choices)
writes = st.tuples(
    st.sampled_from(["ours", "ours", "stock", "blunt", "part of ours", "dying"]),
    names,
    st.lists(rows, min_size=1, max_size=3),
    st.sampled_from([None, 0, 1]),
    st.floats(0.05, 0.95),
)
others = st.one_of(
    st.tuples(st.just("expire"), numbers),
    st.tuples(st.just("delete view"), names, st.booleans()),
    st.tuples(st.just("forget"), names, numbers),
    st.tuples(
        st.just("rename"),
    ),
    st.tuples(st.just("teardown"), st.booleans()),
)
steps = st.integers(0, 7).flatmap(lambda n: writes if n else others)


def do(shared: Shared, step: Any) -> None:
    """One thing that happens to a database."""
    match step:
        case ("dying", name, events, created, share):
            shared.write_and_die(name, [row(name, *event, created=created) for event in events], share)
        case ("part of ours", name, events, created, _):
            shared.write(
                shared.ours, name, [row(name, *event, created=created, some=True) for event in events]
            )
        case (writer, name, list(events), created, _):
            shared.write(
                getattr(shared, writer), name, [row(name, *event, created=created) for event in events]
            )
        case ("expire", number):
            shared.client.pexpire(shared.key(number), 0)
        case ("delete view", name, by_stock):
            store = shared.stock if by_stock else shared.ours
            online(store).delete_table(store.config, shared.views[name])
        case ("forget", name, number):
            ours = shared.ours
            online(ours).forget(ours.config, shared.views[name], [serialize_entity_key(key_of(number), 3)])
        case ("rename",):
            rename_project(shared.address, PROJECT, "elsewhere")
            rename_project(shared.address, "elsewhere", PROJECT)
        case ("teardown", by_stock):
            store = shared.stock if by_stock else shared.ours
            online(store).teardown(store.config, list(shared.views.values()), [])


@pytest.fixture
def rows_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every read asks for packed rows first."""
    monkeypatch.setattr(commands, "BY_FIELD_FOR", 0)


@pytest.mark.usefixtures("rows_first")
@given(st.lists(steps, min_size=2, max_size=8))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_ours_reads_what_stock_feast_reads(shared: Shared, happened: list[Any]) -> None:
    shared.client.flushdb()
    for step in happened:
        do(shared, step)
        shared.agree()


def packed(shared: Shared, number: int, name: str) -> bool:
    """Whether a view of an entity is read from its packed row alone."""
    asked: list[bytes] = []
    whole = online(shared.ours)._wires.ask

    def ask(client: Any, request: bytes, replies: int) -> Any:
        asked.append(request)
        return whole(client, request, replies)

    online(shared.ours)._wires.ask = ask
    try:
        features = [f"{name}:{feature}" for feature in VIEWS[name]]
        for _ in range(BY_FIELD_FOR + 2):
            shared.ours.get_online_features(features, {"customer_id": [number]})
    finally:
        del online(shared.ours)._wires.ask
    return b"_packed0" in asked[-1] and len(asked) == BY_FIELD_FOR + 2


@pytest.mark.parametrize("name", VIEWS)
def test_what_we_write_is_read_packed_and_an_equally_old_write_of_stock_feast_ends_that(
    shared: Shared, name: str
) -> None:
    shared.client.flushdb()
    shared.write(shared.ours, name, [row(name, 1, 0, 1)])
    assert packed(shared, 1, name)
    shared.write(shared.blunt, name, [row(name, 1, 0, 2)])
    assert not packed(shared, 1, name)
    shared.agree()
    shared.write(shared.ours, name, [row(name, 1, 0, 3)])
    assert packed(shared, 1, name)
    shared.agree()


def test_the_hash_has_the_bytes_that_stock_feast_stores_and_its_time_is_the_same_message(
    shared: Shared,
) -> None:
    events = [row("figures", number, minute, minute) for number, minute in ((1, 0), (2, 1))]
    found: list[dict[int, dict[bytes, bytes]]] = []
    for store in (shared.ours, shared.stock):
        shared.client.flushdb()
        shared.write(store, "figures", events)
        found.append({number: shared.hash_of(number) for number in CUSTOMERS})
    for number in CUSTOMERS:
        ours, theirs = found[0][number], found[1][number]
        assert ours.keys() - theirs.keys() == {b"_packed0:figures"}
        times = [Timestamp.FromString(one.pop(b"_ts:figures")) for one in (ours, theirs)]
        assert times[0].ToDatetime() == times[1].ToDatetime()
        assert {field: ours[field] for field in theirs} == theirs


def test_a_hash_of_packed_rows_stays_a_list_in_the_server(shared: Shared) -> None:
    shared.client.flushdb()
    for name in VIEWS:
        shared.write(shared.ours, name, [row(name, 1, 0, 1)])
    assert shared.client.object("encoding", shared.key(1)) == b"listpack"


def test_a_view_of_another_shape_is_not_read_packed(shared: Shared, tmp_path: Path) -> None:
    shared.client.flushdb()
    shared.write(shared.ours, "figures", [row("figures", 1, 0, 1)])
    schema = {"customer_id": Int64, "count": Int64, "sum": Float64, "share": Float32}
    write(tmp_path, "figures", {"customer_id": [1]})
    changed = opened(tmp_path, shared.place)
    changed.apply([customer, view(tmp_path, "figures", [customer], schema)])
    asked = ["figures:share", "figures:sum", "figures:count"], {"customer_id": [1]}
    assert changed.get_online_features(*asked).to_dict() == shared.stock.get_online_features(*asked).to_dict()
