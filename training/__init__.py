"""Labelled dialogues and how reading heads are trained on them; not part of what is installed."""
