"""An address with a password works as before, and nobody reads the password anywhere."""

import os
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_assets.local import servers
from resources.addresses import handed_on, revealed, shown, without_user
from resources.local import local_resources
from resources.settings import settings
from resources.tracking.client import reachable

SECRET = "hunter2-5f1e"
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=20)
PLAIN = (
    "sqlite:////state/mlflow.db",
    "http://127.0.0.1:5000",
    "redis://cache:6379/2",
    "kuberay://ml",
    "",
    "auto",
)


@given(PASSWORDS, st.sampled_from(["http", "redis", "rediss", "postgresql+psycopg2", "ray"]), st.booleans())
@example("p@ss/w:rd#?", "redis", False)
def test_what_is_shown_has_no_password_quoted_or_not(password, scheme, quoted):
    written = quote(password, safe="") if quoted else password
    address = f"{scheme}://alice:{written}@host:1234/part"
    assert shown(address) == f"{scheme}://***@host:1234/part"


@pytest.mark.parametrize("field", ["password", "token", "api_key", "sslpassword", "PWD", "secret"])
def test_a_secret_field_of_a_query_is_hidden(field):
    assert (
        shown(f"postgresql://host/db?{field}={SECRET}&timeout=3")
        == f"postgresql://host/db?{field}=***&timeout=3"
    )


@pytest.mark.parametrize("address", PLAIN)
def test_an_address_without_a_secret_stays_as_it_is(address, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert shown(address) == address == handed_on("MLFLOW_TRACKING_URI", address) == reachable(address)


def test_user_and_password_go_to_mlflow_by_its_own_variables(monkeypatch):
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "before")
    assert reachable("https://alice:a%40b%2Fc@host:5000/x") == "https://host:5000/x"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == (
        "alice",
        "a@b/c",
    )
    assert without_user("http://host") == ("http://host", None, None)


@pytest.fixture
def planted(monkeypatch, tmp_path):
    """A password in every address there is."""
    given = {
        "MLOPS_HOME": str(tmp_path),
        "MLFLOW_TRACKING_URI": f"postgresql+psycopg2://alice:{SECRET}@127.0.0.1:9/mlflow",
        "MLOPS_ONLINE_STORE": f"redis://:{SECRET}@127.0.0.1:6379/0",
        "MLOPS_RAY_ADDRESS": f"ray://alice:{SECRET}@127.0.0.1:10001",
        "MLOPS_DAGSTER_URL": f"https://alice:{SECRET}@dagster.example",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return settings()


def test_resources_keep_the_name_of_a_variable_and_find_the_address_by_it(planted):
    kept = local_resources(planted)
    written = " ".join(f"{resource!r} {resource.model_dump()}" for resource in kept.values())
    assert SECRET not in written
    assert revealed(kept["tracking"].uri) == os.environ["MLFLOW_TRACKING_URI"]
    assert revealed(kept["feature_store"].online_store) == os.environ["MLOPS_ONLINE_STORE"]
    assert revealed(kept["compute"].address) == os.environ["MLOPS_RAY_ADDRESS"]


def test_a_process_without_the_variable_says_which_one_it_lacks(planted, monkeypatch):
    kept = local_resources(planted)["tracking"]
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    with pytest.raises(LookupError, match="MLFLOW_TRACKING_URI is not set in this process"):
        revealed(kept.uri)


def test_no_command_line_link_or_text_of_the_servers_has_it(planted):
    started = servers.servers(planted, planted.home / "workspace.yaml", ["true"])
    assert {server.name for server in started} == {"Dagster", "MLflow", "Endpoint"}
    assert not [word for server in started for word in server.command if SECRET in word]
    remote = planted.model_copy(update={"mlflow_uri": f"http://alice:{SECRET}@127.0.0.1:5000"})
    said = [
        repr(planted),
        planted.dagster_url,
        remote.mlflow_url,
        servers.table(started, planted),
        servers.table(started, remote),
    ]
    assert SECRET not in " ".join(said)


def test_an_error_about_an_address_does_not_have_it(planted):
    with pytest.raises(servers.DevError) as failed:
        servers.prepare_mlflow(planted)
    assert SECRET not in str(failed.value)
    for name, value in (
        ("MLOPS_ONLINE_STORE", f"redis://:{SECRET}@host"),
        ("MLOPS_RAY_ADDRESS", f"kuberay://a:{SECRET}@B"),
    ):
        with pytest.raises(ValueError, match=name) as refused:
            settings({name: value})
        assert SECRET not in str(refused.value)
