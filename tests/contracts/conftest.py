"""Servers that several contract tests share."""

from collections.abc import Iterator

import pytest

from tests.contracts.minio_server import MinioServer, MinioUnavailableError, running_minio


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MinioServer]:
    """A MinIO server for the whole run; the test is skipped where there is none."""
    try:
        with running_minio(tmp_path_factory.mktemp("minio")) as server:
            yield server
    except MinioUnavailableError as reason:
        pytest.skip(str(reason))
