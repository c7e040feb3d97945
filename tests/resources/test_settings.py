"""One variable says where online features are kept."""

import pytest

from resources.features.definitions import connection_string
from resources.local import local_resources
from resources.settings import settings


def test_without_the_variable_features_are_kept_in_sqlite(tmp_path) -> None:
    given = settings({"MLOPS_HOME": str(tmp_path)})
    assert (given.online_store, given.online_kind) == ("", "sqlite")


def test_the_variable_reaches_the_feature_store(tmp_path) -> None:
    given = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_ONLINE_STORE": "redis://127.0.0.1:6379/3"})
    assert given.online_kind == "redis"
    assert local_resources(given)["feature_store"].online_store == "redis://127.0.0.1:6379/3"


@pytest.mark.parametrize(
    "wrong", ["localhost:6379", "redis://host", "memcached://host:1", "redis://host:6379/x"]
)
def test_an_address_that_is_none_is_refused_with_the_form_it_must_have(wrong: str) -> None:
    with pytest.raises(
        ValueError, match=r"MLOPS_ONLINE_STORE='.*': give redis://host:port or redis://host:port/db"
    ):
        settings({"MLOPS_ONLINE_STORE": wrong})


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("redis://cache:6379", "cache:6379"),
        ("redis://cache:6379/2", "cache:6379,db=2"),
        ("rediss://me:pa%40ss@cache:6380/0", "cache:6380,db=0,username=me,password=pa@ss,ssl=true"),
    ],
)
def test_an_address_is_written_as_feast_reads_it(address: str, expected: str) -> None:
    assert connection_string(address) == expected
