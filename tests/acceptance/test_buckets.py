"""Files in buckets of three clouds are sources as those of a folder are: patterns, both kinds, corrections, what is wrong."""

import io
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest

from mlops_assets.stages.errors import NotYetThereError, SourceError
from mlops_assets.stages.sources import read_rows, refuse_unfit_source, states
from tests import clouds, s3
from tests.declared import END, START, loans, loans_frame

WEEK = SimpleNamespace(start=START, end=END)
SECRET = "c2VzYW1lLXNlc2FtZQ=="


@pytest.fixture(scope="module")
def put(
    request: pytest.FixtureRequest, free_port: Any, tmp_path_factory: Any
) -> Iterator[tuple[str, clouds.Put]]:
    """How an address of this cloud begins, and what puts an object there."""
    if request.param == "s3":
        with s3.served() as address:
            client = s3.client(int(address.rpartition(":")[2]), "s3")
            yield (
                f"s3://{s3.BUCKET}",
                lambda name, body: client.put_object(Bucket=s3.BUCKET, Key=name, Body=body),
            )
        return
    emulator = {"gs": clouds.google, "az": clouds.azure}[request.param]
    with emulator(free_port(), tmp_path_factory.mktemp(request.param)) as found:
        yield f"{request.param}://{clouds.BUCKET}", found


def parquet(frame: pl.DataFrame) -> bytes:
    frame.write_parquet(body := io.BytesIO())
    return body.getvalue()


CLOUDS = ["s3", "gs", pytest.param("az", marks=pytest.mark.nightly)]
of_each_cloud = pytest.mark.parametrize("put", CLOUDS, indirect=True)


@of_each_cloud
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_the_files_of_a_pattern_are_read_and_a_new_one_is_seen(put, kind):
    where, store = put
    frame = loans_frame(*range(1, 15))

    def body(part: pl.DataFrame) -> bytes:
        return (
            parquet(part)
            if kind == "parquet"
            else part.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ").encode()
        )

    spec = loans(source={"kind": kind, "path": f"{where}/{kind} of/*/loans_?.{kind}"})
    with pytest.raises(NotYetThereError, match=f"no file is at {where}"):
        read_rows(spec, Path("/"), WEEK)
    store(f"{kind} of/2024/loans_1.{kind}", body(frame[:4]))
    store(f"{kind} of/2024/other_1.{kind}", b"not mine")
    assert read_rows(spec, Path("/"), WEEK).frame.equals(frame[:4])
    before = states(spec, Path("/"))
    store(f"{kind} of/2024/loans_2.{kind}", body(frame[4:]))
    assert states(spec, Path("/")) != before
    assert read_rows(spec, Path("/"), WEEK).frame.equals(frame[:7])
    assert refuse_unfit_source(spec, Path("/")) == "2 files"
    one = loans(source={"kind": kind, "path": f"{where}/{kind} of/2024/loans_1.{kind}"})
    assert read_rows(one, Path("/"), WEEK).frame.equals(frame[:4])
    store(f"{kind} of/2024/loans_1.{kind}", body(frame[:4].rename({"zipcode": "code"})))
    with pytest.raises(SourceError, match=f"loans_1.{kind} has no column 'zipcode'; it has loan_id"):
        read_rows(one, Path("/"), WEEK)


def test_a_signature_of_azure_is_in_no_error(monkeypatch, free_port, caplog):
    caplog.set_level("DEBUG")
    for name in ("AZURE_STORAGE_USE_EMULATOR", "AZURITE_BLOB_STORAGE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "shop")
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"sv=2021&sig={SECRET}")
    with pytest.raises(SourceError) as caught:
        read_rows(loans(source={"kind": "parquet", "path": "az://lake/x.parquet"}), Path("/"), WEEK)
    assert "az://lake" in str(caught.value)
    assert "c2VzYW1l" not in str(caught.value) + caplog.text
