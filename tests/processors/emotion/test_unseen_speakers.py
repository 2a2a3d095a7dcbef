"""What the pipeline stores, sound and words together, on speakers that no head was trained on."""

import os
from pathlib import Path

import pytest

from processors.emotion.encoder import WhisperEncoder
from processors.emotion.experiments import Experiment, run_experiment

_REPOSITORY = Path(__file__).parents[3]
CASIA = Path(os.environ.get("EMOTION_ZH", _REPOSITORY.parent / "shared" / "data" / "emotion_zh"))
"""900 acted Mandarin utterances of three speakers, a folder for each of six states."""

ACCURACY = 0.85
F1 = 0.75

pytestmark = [
    pytest.mark.model,
    pytest.mark.skipif(not CASIA.is_dir(), reason="the labelled utterances are not here: name their folder EMOTION_ZH"),
]


def test_the_goals_are_reached_on_unseen_speakers(whisper_cache: Path) -> None:
    experiment = Experiment(data=(CASIA,), leave_one_speaker_out=True)

    figures = {one.name: one for one in run_experiment(experiment, WhisperEncoder(cache_dir=whisper_cache))}

    for name in ("sound", "fused"):
        assert figures[name].accuracy.value >= ACCURACY, figures[name]
        assert figures[name].f1.value >= F1, figures[name]
