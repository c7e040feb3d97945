"""Each variable is read once, and a value that cannot be used is told with its rule."""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from resources.features.configuration import connection_string
from resources.local import local_resources
from resources.settings import Settings, settings
from resources.state_folder import SettingsError


def test_without_the_variable_features_are_kept_in_sqlite(tmp_path) -> None:
    read = settings({"MLOPS_HOME": str(tmp_path)})
    assert (read.online_store, read.online_kind) == ("", "sqlite")


def test_the_variable_reaches_the_feature_store(tmp_path) -> None:
    read = settings({"MLOPS_HOME": str(tmp_path), "MLOPS_ONLINE_STORE": "redis://127.0.0.1:6379/3"})
    assert read.online_kind == "redis"
    assert local_resources(read)["feature_store"].online_store == "redis://127.0.0.1:6379/3"


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


VALUES = {
    "MLOPS_DAGSTER_PORT": ("http", "0", "65536", "-1", "8_0"),
    "MLOPS_MLFLOW_PATIENCE_S": ("soon", "-1", "1.5"),
    "MLOPS_CLOCK_START": ("yesterday", "2024-01-01", "2024-01-01T00:00:00"),
    "MLOPS_CLOCK_RATE": ("fast", "0", "-1", "nan", "inf", "1000001"),
    "MLOPS_OFFLINE_ENGINE": ("spark", "Ray"),
    "MLOPS_ALLOWED_HOSTS": ("a,b:1", "http://a"),
    "MLOPS_RAY_ADDRESS": ("kuberay://", "kuberay://A"),
    "MLOPS_ONLINE_STORE": ("redis://host", "sqlite"),
    "MLOPS_SERVE_HOST": ("http://a", "a:80", "a b"),
    "MLOPS_METRICS_HOST": ("http://a", "a:80", "a b"),
    "MLOPS_SERVE_MAX_ROWS": ("0", "-1", "many"),
    "MLOPS_SERVE_VERSIONS": ("trips", "trips=8,9", "trips=new"),
    "MLOPS_RAYJOB": ("~nobody-of-this-name/x",),
    "MLOPS_HOME": ("/a%b", "/a?"),
}
"""Values of variables that are refused."""

WRONG = st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), st.sampled_from(VALUES[name]))
)


@given(st.lists(WRONG, min_size=1, max_size=4, unique_by=lambda one: one[0]))
def test_every_value_that_cannot_be_used_is_told_with_its_variable_its_value_and_what_to_give(wrong):
    with pytest.raises(SettingsError) as error:
        settings(dict(wrong))
    sentences = str(error.value).split("; ")
    assert len(sentences) == len(wrong)
    for name, value in wrong:
        (sentence,) = [one for one in sentences if one.startswith(f"{name}={value!r}")]
        assert "give" in sentence


@given(
    st.dictionaries(st.sampled_from(sorted(VALUES)), st.sampled_from(["", "1", "8000", "local", "a,b", "/x"]))
)
def test_the_process_and_a_given_environment_are_read_alike(environ):
    def read(arguments):
        try:
            return settings(*arguments)
        except SettingsError as error:
            return str(error)

    with pytest.MonkeyPatch.context() as patch:
        for field in Settings.model_fields.values():
            patch.delenv(str(field.validation_alias), raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        assert read([]) == read([environ])


def test_a_variable_of_another_program_that_is_called_like_a_field_is_not_read(monkeypatch):
    for name in Settings.model_fields:
        monkeypatch.setenv(name, "7")
    monkeypatch.delenv("MLOPS_HOME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert settings() == settings({})


def test_a_password_in_a_refused_value_is_shown_nowhere():
    password = "x" * 8
    with pytest.raises(SettingsError) as error:
        settings({"MLOPS_ONLINE_STORE": f"redis://me:{password}@host"})
    assert password not in "".join(traceback.format_exception(error.value))


def test_settings_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        settings({}).serve_port = 1
