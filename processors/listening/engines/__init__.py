"""Recognisers behind the `SpeechEngine` port; each imports its library only when it is built.

To add one, add a module with a subclass of `EngineSettings`: its fields are settings, `build` makes the recogniser.
Those that are services are in `streams/adapters/speech/`.
"""
