"""The contract of data keys on those that tests keep in memory."""

import pytest

from processors.custody.ports import DataKeys
from tests.contracts.data_keys_contract import DataKeysContract
from tests.support.data_keys import MemoryDataKeys


class TestMemoryDataKeys(DataKeysContract):
    @pytest.fixture
    def keys(self) -> DataKeys:
        return MemoryDataKeys()
