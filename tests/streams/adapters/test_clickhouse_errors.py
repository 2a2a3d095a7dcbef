"""Which of ClickHouse's errors are tried again."""

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from schemas.errors import RetryableError
from streams.adapters.clickhouse.errors import (
    ClickHouseAccessError,
    ClickHouseRefusedError,
    ClickHouseSchemaError,
    translated_errors,
)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        pytest.param(76, RetryableError, id="CANNOT_OPEN_FILE"),
        pytest.param(225, RetryableError, id="NO_ZOOKEEPER"),
        pytest.param(243, RetryableError, id="NOT_ENOUGH_SPACE"),
        pytest.param(499, RetryableError, id="S3_ERROR"),
        pytest.param(516, ClickHouseAccessError, id="AUTHENTICATION_FAILED"),
        pytest.param(47, ClickHouseSchemaError, id="UNKNOWN_IDENTIFIER: the tables are of an older release"),
        pytest.param(62, ClickHouseRefusedError, id="SYNTAX_ERROR"),
    ],
)
def test_what_passes_by_itself_is_tried_again(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind), translated_errors("an insert"):
        raise DatabaseError("no text of this is shown", code=code)
