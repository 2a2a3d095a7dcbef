"""The id that the storage of an embedded Apache Kafka is formatted with."""

from base64 import urlsafe_b64decode
from uuid import UUID

import pytest

from streams.embedded.apache_kafka import cluster_id


def test_an_id_that_looks_like_an_option_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    like_an_option, other = UUID(int=0xF8 << 120), UUID(int=0x58 << 120)
    ids = iter([like_an_option, other])
    monkeypatch.setattr("streams.embedded.apache_kafka.uuid.uuid4", lambda: next(ids))
    made = cluster_id()
    assert urlsafe_b64decode(made + "==") == other.bytes
    assert len(made) == 22
