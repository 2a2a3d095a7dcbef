"""The metadata of an ONNX file, read without loading the model.

An ONNX file is one protobuf message, `ModelProto` (onnx.proto): its field 14 is the list of `metadata_props`, each a
message of a key (1) and a value (2). The graph, field 7 and nearly all of the file, is passed over.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from processors.listening.engines.weights import WeightsError

_METADATA_PROPS = 14
_KEY, _VALUE = 1, 2
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_VARINT_BYTES = 10
_MAX_PROPERTY_BYTES = 1 << 20


def read_metadata(file: Path) -> dict[str, str]:
    """The properties of the model in an ONNX file. Raises `ValueError` when it is not an ONNX file."""
    with file.open("rb") as source:
        properties = [_fields(value) for number, value in _top_level(source) if number == _METADATA_PROPS]
    return {
        fields.get(_KEY, b"").decode("utf-8", "replace"): fields.get(_VALUE, b"").decode("utf-8", "replace")
        for fields in properties
    }


def metadata_of_weights(file: Path) -> dict[str, str]:
    """The same of a file that is to be used as weights. Raises `WeightsError`."""
    try:
        return read_metadata(file)
    except ValueError:
        raise WeightsError(
            f"{file} is no ONNX file, or not all of it (a pointer of Git LFS, a download that was broken off)"
        ) from None


def _top_level(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Number and content of each field; of long ones, which are no properties, nothing is read."""
    end = source.seek(0, 2)
    source.seek(0)
    while source.tell() < end:
        tag = _varint(source)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _varint(source)
        elif kind in (_FIXED_64, _FIXED_32):
            source.seek(8 if kind == _FIXED_64 else 4, 1)
        elif kind == _BYTES:
            length = _varint(source)
            if source.tell() + length > end:
                raise ValueError("the file ends within a field")
            if number == _METADATA_PROPS and length <= _MAX_PROPERTY_BYTES:
                yield number, source.read(length)
            else:
                source.seek(length, 1)
        else:
            raise ValueError("no protobuf message")


def _fields(message: bytes) -> dict[int, bytes]:
    """The byte fields of a small message by number."""
    fields: dict[int, bytes] = {}
    position = 0
    while position < len(message):
        tag, position = _varint_at(message, position)
        length, position = _varint_at(message, position)
        if tag & 7 != _BYTES or position + length > len(message):
            raise ValueError("no property of an ONNX model")
        fields[tag >> 3] = message[position : position + length]
        position += length
    return fields


def _varint(source: BinaryIO) -> int:
    raw = b""
    while True:
        byte = source.read(1)
        if not byte or len(raw) == _MAX_VARINT_BYTES:
            raise ValueError("no protobuf message")
        raw += byte
        if byte[0] < 0x80:
            return _varint_at(raw, 0)[0]


def _varint_at(raw: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first; and where the next field begins."""
    value = shift = 0
    while position < len(raw):
        byte = raw[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("no protobuf message")
