"""Where copies of destroyed calls may lie that callstream does not reach."""

from collections.abc import Sequence

_SHOWN = 8


def copies_sentence(tables: Sequence[str]) -> str:
    """What to tell whoever has destroyed calls, where analysts have made such tables."""
    more = f" and {len(tables) - _SHOWN} more" if len(tables) > _SHOWN else ""
    return (
        "copies may lie in what analysts made of these calls, which is not destroyed here: "
        f"{', '.join(tables[:_SHOWN])}{more}: have them delete or rebuild it (docs/purging.md#copies-of-analysts)"
    )
