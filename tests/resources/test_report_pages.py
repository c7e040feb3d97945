"""A report's page is shown by the endpoint with the script it shares, to whoever may ask, and kept away from everything else."""

import base64
import hashlib
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from resources.pages import Pages
from resources.serving.http.keys import key_hash, new_key
from resources.serving.http.reports import mount, policy_of
from resources.settings import settings
from resources.storage.addresses import storage_at
from tests.resources.endpoint_in_process import client, endpoint

PAGE = b'<html><body><h1>Drift</h1><script src="evidently.js"></script><script>draw()</script></body></html>'
SCRIPT = b"function draw() { return 1 }"
WEEK = "2020-01-27"
CLUSTER = {
    "MLOPS_ENV": "cluster",
    "MLOPS_LAKE": "s3://bucket/lake",
    "MLOPS_AUDIT": "s3://bucket/audit",
    "MLOPS_SHARED": "s3://bucket/shared",
    "MLOPS_ONLINE_STORE": "redis://redis:6379/0",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
    "MLOPS_DAGSTER_DB": "postgresql+psycopg2://postgres:5432/dagster",
    "MLOPS_FEAST_REGISTRY": "postgresql+psycopg2://postgres:5432/feast",
}


def asked(folder: Path, keys: tuple[str, ...] = ()) -> TestClient:
    """An endpoint beside a lake with one page, and a file beside the lake that is nobody's business."""
    drift = folder / "lake" / "trips" / "drift"
    drift.mkdir(parents=True)
    (drift / f"{WEEK}.html").write_bytes(PAGE)
    (drift / "evidently.js").write_bytes(SCRIPT)
    (folder / "secret.html").write_text("secret")
    return client(mount(endpoint(folder, keys=keys), storage_at(str(folder / "lake"))))


def hashed(script: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def test_a_page_comes_whole_and_may_run_its_own_scripts_and_ask_nobody(tmp_path):
    reply = asked(tmp_path).get(f"/reports/trips/drift/{WEEK}")
    assert reply.status_code == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    assert SCRIPT in reply.content and b"src=" not in reply.content
    policy = reply.headers["content-security-policy"]
    assert f"script-src {hashed(SCRIPT)} {hashed(b'draw()')};" in policy
    assert policy.startswith("default-src 'none';") and policy.endswith("sandbox allow-scripts")
    assert reply.headers["cache-control"] == "no-store"
    assert "script-src 'none'" in policy_of(b"<p>There is nothing to draw.</p>")


@pytest.mark.parametrize(
    "path",
    [
        "trips/drift/2020-02-03",
        "others/drift/2020-01-27",
        "trips/drift/..%2F..%2F..%2Fsecret",
        "..%2F..%2Fsecret/drift/x",
        "../secret",
        "trips/drift/.2020-01-27",
    ],
)
def test_what_is_no_page_of_a_report_is_not_shown(tmp_path, path):
    reply = asked(tmp_path).get(f"/reports/{path}")
    assert reply.status_code == 404 and "secret" not in reply.text.replace(path, "").replace("/secret", "")


def test_where_keys_are_asked_for_no_page_is_shown_without_one(tmp_path):
    key = new_key()
    http = asked(tmp_path, (f"team:{key_hash(key)}",))
    path = f"/reports/trips/drift/{WEEK}"
    without = http.get(path)
    assert (without.status_code, b"Drift" in without.content) == (401, False)
    assert "Basic" in without.headers["www-authenticate"]
    assert http.get(path, auth=("me", key)).status_code == 200


def test_another_site_or_a_strange_name_gets_no_page(tmp_path):
    reply = asked(tmp_path).get(f"/reports/trips/drift/{WEEK}", headers={"host": "evil.example"})
    assert reply.status_code == 403


def test_a_laptop_knows_where_its_endpoint_is_opened_and_a_cluster_only_where_it_is_told():
    pages = Pages(dagster="", mlflow="", endpoint=settings({"MLOPS_SERVE_PORT": "8123"}).serve_url)
    assert pages.report("trips", "2020-01-01-05:00") == (
        "http://127.0.0.1:8123/reports/trips/drift/2020-01-01-05%3A00"
    )
    assert Pages(dagster="", mlflow="", endpoint=settings(CLUSTER).serve_url).report("trips", WEEK) == ""
    opened = settings(CLUSTER | {"MLOPS_SERVE_URL": "https://me:pass@models.example/"})
    assert opened.serve_url == "https://models.example/" and "models.example" in opened.serve_names
