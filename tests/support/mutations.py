"""Wrong messages and broken files, made out of right ones: by chance, and the same again for the same seed."""

import json
import random
from collections.abc import Callable
from copy import deepcopy
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e308, 1e-320, float("nan"), float("inf"),
    "", " ", "\x00", "a" * 70_000, "💣" * 100, "\ud800", "%s%n", "{{7*7}}", "'; DROP TABLE calls --",
    "../../etc/passwd", "[/x]", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "2026-02-30T00:00:00Z",
    "2105-01-01T00:00:00+08:00",
    [], {}, [[[[[[]]]]]], {"": {}}, [None] * 1_000,
)  # fmt: skip
"""Values that programs stumble over."""


def broken_json(message: dict[str, Any], chance: random.Random) -> bytes:
    """The message with one to four things wrong."""
    broken = json.loads(json.dumps(message))
    for _ in range(chance.randint(1, 4)):
        chance.choice(_CHANGES)(broken, chance)
    text = json.dumps(broken, ensure_ascii=chance.random() < 0.5)
    value = text.encode("utf-8", errors="surrogatepass")
    return broken_bytes(value, chance) if chance.random() < 0.2 else value


def broken_bytes(data: bytes, chance: random.Random) -> bytes:
    """Bits turned, pieces cut out, doubled or filled with noise."""
    broken = bytearray(data)
    for _ in range(chance.randint(1, 6)):
        if not broken:
            break
        at = chance.randrange(min(len(broken), 200) if chance.random() < 0.5 else len(broken))
        length = chance.choice((1, 2, 4, 64, 1_000))
        match chance.randrange(5):
            case 0:
                broken[at] ^= 1 << chance.randrange(8)
            case 1:
                del broken[at : at + length]
            case 2:
                broken[at:at] = broken[at : at + length]
            case 3:
                broken[at : at + length] = chance.randbytes(length)
            case _:
                del broken[at:]
    return bytes(broken)


def _nasty(chance: random.Random) -> Any:
    return deepcopy(chance.choice(NASTY))


def _parent(node: Any, chance: random.Random) -> Any:
    """A list or an object somewhere in the message."""
    while True:
        inner = [
            child for child in (node.values() if isinstance(node, dict) else node) if isinstance(child, dict | list)
        ]
        if not inner or chance.random() < 0.3:
            return node
        node = chance.choice(inner)


def _replace(message: Any, chance: random.Random) -> None:
    parent = _parent(message, chance)
    if parent:
        key = chance.choice(list(parent)) if isinstance(parent, dict) else chance.randrange(len(parent))
        parent[key] = _nasty(chance)


def _remove(message: Any, chance: random.Random) -> None:
    parent = _parent(message, chance)
    if parent:
        del parent[chance.choice(list(parent)) if isinstance(parent, dict) else chance.randrange(len(parent))]


def _add(message: Any, chance: random.Random) -> None:
    parent = _parent(message, chance)
    if isinstance(parent, dict):
        parent[chance.choice(("x", "", "__class__", "schema_version", "tenant_id"))] = _nasty(chance)
    else:
        parent.append(_nasty(chance))


def _multiply(message: Any, chance: random.Random) -> None:
    parent = _parent(message, chance)
    if isinstance(parent, list) and parent:
        parent.extend(parent * chance.choice((1, 50)))


_CHANGES: tuple[Callable[[Any, random.Random], None], ...] = (_replace, _replace, _remove, _add, _multiply)
