"""The page of the endpoint's addresses: all that the document has, for people, and nothing loaded from elsewhere."""

import re

import pytest
from fastapi.testclient import TestClient

from resources.serving.http.reference_page import reference_page
from tests.resources.endpoint_in_process import client, endpoint


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> TestClient:
    return client(endpoint(tmp_path_factory.mktemp("endpoint")))


def test_every_address_and_every_field_of_the_document_is_on_the_page(http):
    page, document = http.get("/docs").text, http.get("/openapi.json").json()
    assert all(f"<span class=path>{path}</span>" in page for path in document["paths"])
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name}"' in page
        assert all(f"<code>{field}</code>" in page for field in schema.get("properties", {}))


def test_each_link_leads_to_a_part_of_the_page_or_to_the_document(http):
    page = http.get("/docs").text
    for link in re.findall(r'href="([^"]*)"', page):
        assert link == "openapi.json" or f'id="{link.removeprefix("#")}"' in page, link


def test_nothing_is_loaded(http):
    page = http.get("/docs").text
    assert not re.search(r"<(script|link|img|iframe)|src=|url\(|@import", page)
    assert http.get("/docs", headers={"host": "evil.example.org"}).status_code == 403


def test_what_a_document_says_is_text_and_no_markup():
    schema = {"type": "string", "description": "<script>", "examples": ["<b>"]}
    document = {
        "info": {"title": "<i>"},
        "paths": {"/<u>": {"get": {"summary": "<script>", "responses": {}}}},
        "components": {"schemas": {"<x>": {"properties": {"<y>": schema}}}},
    }
    page = reference_page(document)
    assert not re.search(r"<(script|b|i|u|x|y)>", page)
