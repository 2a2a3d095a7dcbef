"""Recognisers behind the `SpeechEngine` port; each imports its library only when it is built."""
