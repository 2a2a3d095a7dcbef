"""`multipart/form-data` as a stream: parts are handed on while they come. Form parsers would write them to temporary
files, in clear."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus

from streams.serve.problems import RefusedError

MOST_HEADERS_OF_PART = 8
MOST_BYTES_OF_HEADER = 2_048


@dataclass(frozen=True)
class PartBegins:
    """What stands in the headers of a part; "" where they do not say."""

    name: str
    file_name: str
    media_type: str
    encoding: str


@dataclass(frozen=True)
class PartEnds:
    """The part is whole."""


PartEvent = PartBegins | bytes | PartEnds


def boundary_of(content_type: str) -> bytes:
    """Raises `RefusedError` (400) where the header names none that can be one."""
    from python_multipart.multipart import parse_options_header

    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise malformed("The header Content-Type names no boundary.")
    return boundary


def malformed(detail: str) -> RefusedError:
    """The body is no multipart/form-data (400)."""
    return RefusedError(HTTPStatus.BAD_REQUEST, "malformed_multipart", detail)


async def events(boundary: bytes, body: AsyncIterator[bytes]) -> AsyncIterator[PartEvent]:
    """The parts one after the other: its beginning, its bytes, its end. Ends only where the last boundary came.

    Raises `RefusedError` (400), and what the body raises.
    """
    parts = _Parts(boundary)
    async for data in body:
        for event in parts.feed(data):
            yield event
    parts.require_end()


class _Parts:
    """Turns the callbacks of the parser into events."""

    def __init__(self, boundary: bytes) -> None:
        from python_multipart.multipart import MultipartParser

        self._found: list[PartEvent] = []
        self._headers: dict[str, bytes] = {}
        self._field = self._value = b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._on_field,
                "on_header_value": self._on_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers,
                "on_part_data": self._on_data,
                "on_part_end": lambda: self._found.append(PartEnds()),
                "on_end": self._on_end,
            },
            max_header_count=MOST_HEADERS_OF_PART,
            max_header_size=MOST_BYTES_OF_HEADER,
        )

    def feed(self, data: bytes) -> list[PartEvent]:
        from python_multipart.exceptions import FormParserError

        self._found = []
        try:
            self._parser.write(data)
        except FormParserError:
            # Its text may quote what was sent.
            wrong = True
        else:
            wrong = False
        if wrong:
            raise malformed("The body is not multipart/form-data.")
        return self._found

    def require_end(self) -> None:
        if not self._ended:
            raise malformed("The body ends before its last boundary.")

    def _begin(self) -> None:
        self._headers = {}

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._field.decode("latin-1").lower()] = self._value
        self._field = self._value = b""

    def _on_headers(self) -> None:
        from python_multipart.multipart import parse_options_header

        _, options = parse_options_header(self._headers.get("content-disposition"))
        media_type, _ = parse_options_header(self._headers.get("content-type"))
        self._found.append(
            PartBegins(
                name=options.get(b"name", b"").decode("utf-8", "replace"),
                file_name=options.get(b"filename", b"").decode("utf-8", "replace"),
                media_type=media_type.decode("latin-1").lower(),
                encoding=self._headers.get("content-transfer-encoding", b"").decode("latin-1").strip().lower(),
            )
        )

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _on_end(self) -> None:
        self._ended = True
