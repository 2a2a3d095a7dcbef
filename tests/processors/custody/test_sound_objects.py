"""What is sealed looks like it, which is seen without any key."""

import pytest

from processors.custody.ports import SealedIdentity
from processors.custody.sealed import is_sound, seal

IDENTITY = SealedIdentity("acme", "c1", "recording", "0123456789abcdef")
STEP = 16 * 1024 - 32


def sound(data: bytes) -> bool:
    return is_sound(lambda start, length: data[start : start + length], len(data))


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, STEP + 1, 3 * STEP, 3 * STEP + 5])
def test_a_sealed_object_is_sound_and_one_that_was_cut_or_lengthened_is_not(size: int) -> None:
    data = seal(b"k" * 32, IDENTITY, b"x" * size)
    assert sound(data)
    for changed in (data[:-1], data + b"x", data[1:], data[: len(data) // 2], b"RIFF" + data[4:], b""):
        assert not sound(changed)
