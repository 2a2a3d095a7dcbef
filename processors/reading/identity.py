"""Whether the agent asked who is calling before anything personal was told or changed, by what was read."""

from collections.abc import Sequence

ASKS, DISCLOSES = "askid", "disclose"
"""The heads that it rests on."""


def asked_before_disclosing(
    asks: Sequence[float], discloses: Sequence[float], asks_from: float, discloses_from: float
) -> bool | None:
    """Of the agent's utterances in their order the probabilities that each asks who is calling, and that it tells or
    changes something personal; null where none discloses.

    What counts is the utterance that most probably discloses, and whether one before it asks.
    """
    if not discloses:
        return None
    place = max(range(len(discloses)), key=lambda number: discloses[number])
    if discloses[place] < discloses_from:
        return None
    return any(probability >= asks_from for probability in asks[:place])
