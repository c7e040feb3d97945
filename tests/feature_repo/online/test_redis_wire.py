"""The bytes of commands are the ones that a parser of the protocol takes apart again."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from feature_repo.online_store.redis.commands import Command


@given(
    keys=st.lists(st.binary(max_size=12), max_size=9),
    suffix=st.binary(max_size=4),
    arguments=st.lists(st.binary(max_size=12), max_size=4),
)
def test_each_key_gets_one_command_with_all_arguments(
    keys: list[bytes], suffix: bytes, arguments: list[bytes]
) -> None:
    reader = hiredis.Reader()
    reader.feed(Command(b"HMGET", suffix, arguments).of(keys))
    found = [reader.gets() for _ in keys]
    assert found == [[b"HMGET", key + suffix, *arguments] for key in keys]
    assert reader.gets() is False
