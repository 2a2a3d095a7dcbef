"""Every call ends in exactly one of these (R39)."""

from typing import Literal, get_args

Outcome = Literal["analyzed", "too_short", "no_audio", "bad_audio", "unsupported", "refused", "not_received", "purged"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
