"""`RulesPublished` v1: a version of a rule pack that workers adopt without a restart."""

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field

from schemas.config.rule_pack import MAX_EXPRESSIONS, RulePack
from schemas.errors import InvalidMessageError
from schemas.messages.message import Message, ShortText, UtcDatetime


class RulesPublished(Message):
    """A pack as it was published.

    The topic keeps every version, so that history can be judged by any of them. In force is the highest version of a
    pack.

    Unknown fields beside the pack are ignored. Within the pack they are refused: a worker that does not know a field
    of a rule would apply another rule than the one that was published.
    """

    model_config = ConfigDict(extra="ignore")
    own_unknown_fields: ClassVar[Literal["ignore"] | None] = None

    max_bytes: ClassVar[int] = 8 * 1024 * 1024

    schema_version: Literal[1] = 1
    pack: RulePack
    published_at: UtcDatetime
    published_by: ShortText
    note: str = Field(default="", max_length=500, description="why")
    signature: str | None = Field(
        default=None, max_length=100, description="Ed25519 over the message without this field, Base64; null: unsigned"
    )

    @classmethod
    def decode(cls, raw: bytes | None, *, from_outside: bool = True) -> Self:
        """As every message; a pack with more expressions than may be published is refused before they are made ready.

        `store` reads what nobody has signed, and ten thousand expressions take it a minute.
        """
        with suppress(ValueError, RecursionError):  # said by the one who reads it as a message
            if len(set(_expressions_in(json.loads(raw or b"null")))) > MAX_EXPRESSIONS:
                raise InvalidMessageError([f"pack: has more than {MAX_EXPRESSIONS} regular expressions"])
        return super().decode(raw, from_outside=from_outside)

    def key(self) -> bytes:
        """`*/finance@12+<SHA-256 of the pack>`; a tenant's own `acme/finance@12+…`.

        With the digest, another content under the same version does not replace what was published first where the
        topic is still compacted, as it was until 0.2.0. Before there were signatures, keys had no digest.
        """
        return f"{self.pack.tenant or '*'}/{self.pack.pack}@{self.pack.version}+{self.pack.digest()}".encode()


def _expressions_in(value: Any) -> Iterator[str]:
    """What stands under `regex`, at any depth."""
    if isinstance(value, dict):
        for name, each in value.items():
            if name == "regex" and isinstance(each, str):
                yield each
            yield from _expressions_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from _expressions_in(each)
