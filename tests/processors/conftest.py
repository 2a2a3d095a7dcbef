"""The real recogniser, loaded once."""

from pathlib import Path

import pytest

from processors.listening.engines.faster_whisper import FasterWhisperEngine


@pytest.fixture(scope="session")
def whisper_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packaged weights are joined."""
    return tmp_path_factory.mktemp("whisper")


@pytest.fixture(scope="session")
def whisper(whisper_cache: Path) -> FasterWhisperEngine:
    """Whisper base as the default settings build it."""
    return FasterWhisperEngine(
        model="packaged",
        cache_dir=whisper_cache,
        device="cpu",
        compute_type="int8",
        threads=1,
        beam_size=5,
        batch_size=8,
    )
