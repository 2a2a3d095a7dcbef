"""The voices of a mono recording: the contract of what tells them apart, the real library, and what is made of it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from processors.listening.diarization import SpeakerSeparation, VoiceStretch, speech_by_voice
from processors.listening.engine_port import SAMPLES_PER_MS, Samples
from processors.listening.engines import device
from processors.listening.engines.device import DeviceError
from processors.listening.engines.sherpa_speakers import SherpaSpeakerSeparation, find_models, stretches_of
from processors.listening.engines.weights import WeightsError
from schemas.messages.interval import Interval
from tests.processors.listening.engines import tiny_speakers
from tests.processors.listening.engines.test_sherpa_onnx import LFS_POINTER, onnx_bytes
from tests.processors.listening.engines.tiny_speakers import DEEP_HZ, EMBEDDING, HIGH_HZ, SEGMENTATION, tone
from tests.processors.listening.scripted_separation import ScriptedSeparation

PAUSE_MS = 600
# The example of the contract: who speaks for how long, with pauses between.
SPOKEN = ((0, 3_000), (1, 2_500), (0, 4_000), (1, 6_000), (0, 2_000), (1, 5_000))


class Recorded:
    """Samples as a channel."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    @property
    def duration_ms(self) -> int:
        return len(self._samples) // SAMPLES_PER_MS

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        return self._samples[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS]


def truth() -> list[tuple[int, int, int]]:
    told, start_ms = [], PAUSE_MS
    for voice, duration_ms in SPOKEN:
        told.append((voice, start_ms, start_ms + duration_ms))
        start_ms += duration_ms + PAUSE_MS
    return told


def recorded(until_ms: int | None = None) -> Recorded:
    pause = np.zeros(PAUSE_MS * SAMPLES_PER_MS, dtype=np.float32)
    parts = [part for voice, length in SPOKEN for part in (pause, tone((DEEP_HZ, HIGH_HZ)[voice], length))]
    return Recorded(np.concatenate([*parts, pause])[: None if until_ms is None else until_ms * SAMPLES_PER_MS])


@pytest.fixture(scope="module")
def sherpa(tmp_path_factory: pytest.TempPathFactory) -> SherpaSpeakerSeparation:
    folder = tmp_path_factory.mktemp("speakers")
    tiny_speakers.write(folder)
    return SherpaSpeakerSeparation(folder=folder, device="cpu", threads=1)


@pytest.fixture(params=["scripted", "sherpa"])
def separation(request: pytest.FixtureRequest, sherpa: SherpaSpeakerSeparation) -> SpeakerSeparation:
    """Every separation that passes the contract."""
    return ScriptedSeparation(truth()) if request.param == "scripted" else sherpa


class TestContract:
    """What everything that tells voices apart promises."""

    def test_each_stretch_is_the_voice_that_speaks_in_it(self, separation: SpeakerSeparation) -> None:
        found = separation.separate(recorded())

        assert len(found) == len(SPOKEN)
        names = {found[0].voice: 0, found[1].voice: 1}
        for stretch, (voice, start_ms, end_ms) in zip(found, truth(), strict=True):
            assert names[stretch.voice] == voice
            assert abs(stretch.interval.start_ms - start_ms) <= 100
            assert abs(stretch.interval.end_ms - end_ms) <= 100

    def test_stretches_are_in_order_and_within_the_sound(self, separation: SpeakerSeparation) -> None:
        sound = recorded(until_ms=12_345)

        found = [each.interval for each in separation.separate(sound)]

        assert found
        assert found == sorted(found, key=lambda interval: interval.start_ms)
        assert all(0 <= each.start_ms < each.end_ms <= sound.duration_ms for each in found)

    def test_the_same_sound_gives_the_same_answer(self, separation: SpeakerSeparation) -> None:
        assert separation.separate(recorded()) == separation.separate(recorded())

    def test_no_sound_has_no_voices(self, separation: SpeakerSeparation) -> None:
        assert separation.separate(Recorded(np.zeros(0, dtype=np.float32))) == ()

    def test_what_changes_the_answer_has_names_that_no_engine_uses(self, separation: SpeakerSeparation) -> None:
        assert separation.identity
        assert all(name == "speakers" or name.startswith("speakers_") for name in separation.identity)


def test_silence_has_no_voices(sherpa: SherpaSpeakerSeparation) -> None:
    assert sherpa.separate(Recorded(np.zeros(30_000 * SAMPLES_PER_MS, dtype=np.float32))) == ()


@pytest.mark.parametrize("silent_ms", [0, 14_000], ids=["one_window", "one_voice_in_one_window_of_many"])
def test_one_short_word_is_one_voice(sherpa: SherpaSpeakerSeparation, silent_ms: int) -> None:
    """More clusters are asked for than there is to put into them."""
    silence = np.zeros(silent_ms * SAMPLES_PER_MS, dtype=np.float32)

    found = sherpa.separate(Recorded(np.concatenate([tone(DEEP_HZ, 500), silence])))

    assert len(found) == 1


def test_models_library_and_device_are_recorded(sherpa: SherpaSpeakerSeparation) -> None:
    identity = dict(sherpa.identity)

    assert re.fullmatch(r"segmentation\.onnx@[0-9a-f]{12}", str(identity.pop("speakers_segmentation")))
    assert re.fullmatch(r"embedding\.onnx@[0-9a-f]{12}", str(identity.pop("speakers_embedding")))
    assert identity == {
        "speakers": f"sherpa-onnx {version('sherpa-onnx')}",
        "speakers_device": "cpu",
        "speakers_recipe": 1,
    }


@dataclass(frozen=True)
class Found:
    """A segment as sherpa-onnx gives it."""

    start: float
    end: float
    speaker: int


def test_segments_are_cut_to_the_recording_and_put_in_order() -> None:
    found = [Found(9.5, 10.4, 1), Found(-0.1, 2.0, 0), Found(1.5, 1.75, 2), Found(10.2, 10.4, 0)]

    assert stretches_of(found, 10_000) == (
        VoiceStretch(0, Interval(start_ms=0, end_ms=2_000)),
        VoiceStretch(2, Interval(start_ms=1_500, end_ms=1_750)),
        VoiceStretch(1, Interval(start_ms=9_500, end_ms=10_000)),
    )


def intervals(*bounds: tuple[int, int]) -> tuple[Interval, ...]:
    return tuple(Interval(start_ms=start_ms, end_ms=end_ms) for start_ms, end_ms in bounds)


SPEECH = intervals((0, 1_000), (2_000, 4_000), (5_000, 5_500))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param(
            [(7, 0, 1_000), (3, 2_000, 4_000), (7, 5_000, 5_500)],
            [intervals((0, 1_000), (5_000, 5_500)), intervals((2_000, 4_000))],
            id="two_voices_the_first_heard_first",
        ),
        pytest.param(
            [(0, 0, 2_900), (1, 3_000, 5_500)],
            [intervals((0, 1_000), (2_000, 3_000)), intervals((3_000, 4_000), (5_000, 5_500))],
            id="speech_is_cut_where_the_next_voice_begins",
        ),
        pytest.param(
            [(0, 0, 1_000), (1, 2_000, 4_000)],
            [intervals((0, 1_000)), intervals((2_000, 4_000)), intervals((5_000, 5_500))],
            id="what_is_nobodys_comes_third",
        ),
        pytest.param(
            [(0, 0, 1_000), (1, 2_000, 4_000), (2, 5_000, 5_500)],
            [intervals((0, 1_000)), intervals((2_000, 4_000)), intervals((5_000, 5_500))],
            id="so_does_a_third_voice",
        ),
        pytest.param([(0, 0, 5_500)], [SPEECH], id="one_voice_is_not_told_apart"),
        pytest.param([(0, 0, 900), (1, 1_200, 1_900)], [SPEECH], id="nor_is_one_that_only_breathes"),
        pytest.param([], [SPEECH], id="nobody_told"),
    ],
)
def test_speech_is_shared_out_among_two_voices(
    told: list[tuple[int, int, int]], expected: list[tuple[Interval, ...]]
) -> None:
    stretches = [VoiceStretch(voice, Interval(start_ms=start, end_ms=end)) for voice, start, end in told]

    assert speech_by_voice(SPEECH, stretches) == tuple(expected)


class TestModels:
    @staticmethod
    def folder(tmp_path: Path, files: Mapping[str, Mapping[str, str] | bytes]) -> Path:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else onnx_bytes(content))
        return tmp_path

    def test_they_are_told_apart_by_what_the_files_say(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, {"a.onnx": EMBEDDING | {"framework": "wespeaker"}, "z.onnx": SEGMENTATION})

        assert find_models(folder) == (folder / "z.onnx", folder / "a.onnx")

    @pytest.mark.parametrize(
        ("files", "sentence"),
        [
            pytest.param({}, "holds 0 and 0 among 0 ONNX files", id="empty"),
            pytest.param({"s.onnx": SEGMENTATION}, "holds 1 and 0 among 1", id="no_embedding"),
            pytest.param(
                {"s.onnx": SEGMENTATION, "s.int8.onnx": SEGMENTATION, "e.onnx": EMBEDDING},
                "holds 2 and 1 among 3",
                id="two_precisions",
            ),
            pytest.param(
                {"s.onnx": SEGMENTATION, "e.onnx": EMBEDDING | {"framework": "nemo"}},
                "holds 1 and 0 among 2",
                id="an_embedding_of_another_kind",
            ),
            pytest.param(
                {"s.onnx": {**SEGMENTATION, "num_classes": "many"}, "e.onnx": EMBEDDING},
                "holds 0 and 1 among 2",
                id="a_property_that_is_no_number",
            ),
            pytest.param(
                {"s.onnx": SEGMENTATION, "e.onnx": EMBEDDING | {"sample_rate": "8000"}},
                "wants another sample rate than 16 kHz",
                id="another_sample_rate",
            ),
            pytest.param({"s.onnx": LFS_POINTER}, "pointer of Git LFS", id="not_fetched"),
        ],
    )
    def test_a_folder_that_cannot_be_used_says_what_to_do(
        self, files: Mapping[str, Mapping[str, str] | bytes], sentence: str, tmp_path: Path
    ) -> None:
        with pytest.raises(WeightsError, match=sentence):
            find_models(self.folder(tmp_path, files))

    def test_a_folder_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"speaker_models names the folder .*nowhere, which does not exist"):
            find_models(tmp_path / "nowhere")

    def test_models_that_the_library_cannot_load_are_named(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, {"s.onnx": SEGMENTATION, "e.onnx": EMBEDDING})

        with pytest.raises(WeightsError, match=rf"cannot load the models in {tmp_path} on cpu \(\w+\): take them anew"):
            SherpaSpeakerSeparation(folder=folder, device="cpu", threads=1)

    def test_a_gpu_that_the_library_cannot_use_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(device, "version", lambda _name: "2.0.1")
        tiny_speakers.write(tmp_path)

        with pytest.raises(DeviceError, match="set sherpa_device to cpu"):
            SherpaSpeakerSeparation(folder=tmp_path, device="cuda", threads=1)
