"""The vocabulary of labelled data: columns and labels of `labels.csv`, and what they count as."""

from typing import Final

LABELS_FILE: Final = "labels.csv"
LABEL_COLUMNS: Final = ("file", "start_ms", "end_ms", "channel", "speaker", "label")
TEXT_COLUMN: Final = "text"

AGITATED: Final = frozenset({"angry", "agitated"})
"""Labels that count as agitated; every other one is the rest."""
CLASSES: Final = ("angry", "fear", "happy", "neutral", "sad", "surprise")
"""Labels that are classes of their own. `agitated`, `calm` and `other` say only which side of the line a segment is."""
POLARITIES: Final = ("negative", "positive")
"""Labels of texts that say no more than that; spoken utterances are to be had with these only."""
LABELS: Final = (*CLASSES, "agitated", "calm", "other")
