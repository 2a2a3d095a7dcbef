"""The recogniser that the settings name is the one that hears, with the settings that belong to it."""

from pathlib import Path

import pytest

from processors.listening.engines import device
from processors.listening.engines.device import DeviceError
from processors.listening.engines.weights import WeightsError
from schemas.messages.call_analysis import MeasureValue
from streams.analysis import build_engine, build_judge, listen_settings
from streams.settings import Settings, load_settings
from tests.processors.listening.engines import tiny_sense_voice, tiny_speakers
from tests.processors.transcripts import NOW, heard


def settings_of(**settings: object) -> Settings:
    return load_settings({f"CALLSTREAM_{name.upper()}": str(value) for name, value in settings.items()}).settings


def test_sherpa_onnx_is_built_from_its_folder(tmp_path: Path) -> None:
    tiny_sense_voice.write(tmp_path)

    identity = build_engine(
        settings_of(speech_engine="sherpa-onnx", sherpa_model=tmp_path, sherpa_threads=2, sherpa_batch_size=3)
    ).identity

    assert identity.name == "sherpa-onnx"
    assert identity.model.startswith(f"{tmp_path.name}@")
    assert identity.settings["kind"] == "sense_voice"
    assert identity.settings["batch_size"] == 3


def test_a_folder_that_is_not_there_ends_the_start_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"sherpa_model names the folder .*nowhere, which does not exist"):
        build_engine(settings_of(speech_engine="sherpa-onnx", sherpa_model=tmp_path / "nowhere"))


def test_a_gpu_that_sherpa_onnx_cannot_use_ends_the_start_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "version", lambda _name: "2.0.1")

    with pytest.raises(DeviceError, match="set sherpa_device to cpu"):
        build_engine(settings_of(speech_engine="sherpa-onnx", sherpa_model=tmp_path, sherpa_device="cuda"))


def test_nobody_tells_voices_apart_unless_a_setting_names_the_models(tmp_path: Path) -> None:
    tiny_speakers.write(tmp_path)

    assert listen_settings(settings_of()).separation is None
    separation = listen_settings(settings_of(speaker_models=tmp_path)).separation
    assert separation is not None
    assert str(separation.identity["speakers_embedding"]).startswith("embedding.onnx@")


@pytest.mark.parametrize(
    ("values", "respells"),
    [
        ({}, True),
        ({"respelling": "off"}, False),
        ({"whisper_model": "large-v3"}, False),
        ({"whisper_model": "large-v3", "respelling": "on"}, True),
    ],
)
def test_characters_are_put_right_where_that_was_measured_to_help_or_somebody_says_so(
    values: dict[str, object], respells: bool
) -> None:
    assert (listen_settings(settings_of(**values)).spelling is not None) == respells


def test_what_the_operator_says_of_a_detector_reaches_it() -> None:
    twenty_seconds = heard([("agent", 0, 1_000, "您好")], duration_ms=20_000)

    def judged(**settings: object) -> dict[str, MeasureValue]:
        return dict(build_judge(settings_of(**settings)).judge(twenty_seconds, NOW).measures)

    usual = judged()
    assert (usual["duration_in_band"], usual["duration_anomaly"]) == (False, False)
    told = judged(duration_band_min_s=10, duration_band_max_s=30, duration_fallback_min_s=30)
    assert (told["duration_in_band"], told["duration_anomaly"]) == (True, True)


@pytest.mark.model
def test_whisper_is_built_with_its_settings_and_they_are_recorded() -> None:
    settings = settings_of(
        whisper_device="auto",
        whisper_beam_size=2,
        whisper_batch_size=4,
        whisper_compute_type="float32",
        whisper_hot_words=" 年化收益 保本 ",
    )

    identity = build_engine(settings).identity

    assert (identity.name, identity.model) == ("faster-whisper", "whisper-base@d01c3014881c")
    assert identity.settings["device"] in ("cpu", "cuda"), "not auto, which may be either"
    assert identity.settings["compute_type"] == "float32"
    assert (identity.settings["beam_size"], identity.settings["batch_size"]) == (2, 4)
    assert identity.settings["hot_words"] == "年化收益 保本"


@pytest.mark.model
def test_without_hot_words_the_identity_is_that_of_an_engine_that_has_no_such_setting() -> None:
    assert "hot_words" not in build_engine(settings_of()).identity.settings
