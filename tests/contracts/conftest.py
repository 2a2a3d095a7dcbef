"""Servers that several contract tests share."""

from collections.abc import Iterator

import pytest

from tests.contracts.minio_server import running_minio
from tests.contracts.s3_server import S3Server, ServerUnavailableError
from tests.contracts.versitygw_server import Versitygw, running_versitygw


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A MinIO server for the whole run; the test is skipped where there is none."""
    try:
        with running_minio(tmp_path_factory.mktemp("minio")) as server:
            yield server
    except ServerUnavailableError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def versitygw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Versitygw]:
    """A versitygw server for the whole run, over TLS; the test is skipped where there is none."""
    try:
        with running_versitygw(tmp_path_factory.mktemp("versitygw")) as server:
            yield server
    except ServerUnavailableError as reason:
        pytest.skip(str(reason))
