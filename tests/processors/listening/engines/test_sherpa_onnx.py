"""sherpa-onnx: which model lies in a folder, what is said when it cannot be used, and words from tokens.

Models of this kind come in no registry package. What needs no weights is tested here; tiny models of each kind, made by
the test, go through the real library.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from processors.listening.engine_port import Samples, SpeechClip
from processors.listening.engines.onnx_metadata import read_metadata
from processors.listening.engines.sherpa_onnx import (
    SherpaOnnxEngine,
    find_model,
    language_of,
    speech_of,
    words_of,
)
from processors.listening.engines.weights import WeightsError
from processors.listening.packing import LEAD_MS
from tests.processors.listening.engines import tiny_recognisers, tiny_sense_voice

SENSE_VOICE = {"model_type": "sense_voice_ctc"}
TOKENS = "<unk> 0\n▁ok 1\n  2\n您 3\n".encode()
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
Files = Mapping[str, Mapping[str, str] | bytes | None]
STREAMING = {"model_type": "zipformer2", "decode_chunk_len": "32"}


def varint(value: int) -> bytes:
    raw = b""
    while value > 0x7F:
        raw += bytes([value & 0x7F | 0x80])
        value >>= 7
    return raw + bytes([value])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def onnx_bytes(properties: Mapping[str, str], graph_bytes: int = 100_000) -> bytes:
    """A file as ONNX lays it out: version, graph, set of operators, properties."""
    entries = [field(1, key.encode()) + field(2, value.encode()) for key, value in properties.items()]
    after = b"".join(field(14, entry) for entry in entries)
    return varint(1 << 3) + varint(300) + field(7, bytes(graph_bytes)) + field(8, b"") + after


def model_folder(tmp_path: Path, files: Files) -> Path:
    """A folder with files: an ONNX file with properties, a list of tokens, or for None what Git LFS leaves."""
    for name, content in files.items():
        (tmp_path / name).write_bytes(onnx_bytes(content) if isinstance(content, Mapping) else content or LFS_POINTER)
    return tmp_path


class TestMetadata:
    def test_the_properties_of_a_model_are_read_past_its_graph(self, tmp_path: Path) -> None:
        told = {"model_type": "paraformer", "neg_mean": "0.5," * 3_000, "comment": "模型"}
        (tmp_path / "model.onnx").write_bytes(onnx_bytes(told))

        assert read_metadata(tmp_path / "model.onnx") == told

    @pytest.mark.parametrize(
        "content",
        [
            pytest.param(onnx_bytes(SENSE_VOICE)[:50_000], id="broken_off"),
            pytest.param(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", id="pointer_of_git_lfs"),
            pytest.param(b"\xff" * 200, id="anything"),
            pytest.param(onnx_bytes(SENSE_VOICE)[:-3], id="last_property_broken_off"),
            pytest.param(field(14, b"\xff"), id="property_that_is_none"),
        ],
    )
    def test_what_is_no_onnx_file_is_refused(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(content)

        with pytest.raises(ValueError, match=r"protobuf|field|property"):
            read_metadata(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("files", "prefer_int8", "kind", "chosen"),
    [
        pytest.param({"model.onnx": SENSE_VOICE}, True, "sense_voice", ["model.onnx"], id="sense_voice"),
        pytest.param(
            {"model.onnx": {"model_type": "paraformer"}, "model.int8.onnx": {"model_type": "paraformer"}},
            True,
            "paraformer",
            ["model.int8.onnx"],
            id="paraformer_on_cpu_takes_8_bit",
        ),
        pytest.param(
            {"model.onnx": {"model_type": "paraformer"}, "model.int8.onnx": {"model_type": "paraformer"}},
            False,
            "paraformer",
            ["model.onnx"],
            id="paraformer_on_gpu_takes_floats",
        ),
        pytest.param(
            {"model.int8.onnx": {"model_type": "zipformer2_ctc"}},
            False,
            "zipformer_ctc",
            ["model.int8.onnx"],
            id="8_bit_where_there_is_nothing_else",
        ),
        pytest.param(
            {
                "encoder-epoch-20-avg-1.onnx": {"model_type": "zipformer2"},
                "decoder-epoch-20-avg-1.onnx": {},
                "joiner-epoch-20-avg-1.onnx": {},
            },
            True,
            "transducer",
            ["decoder-epoch-20-avg-1.onnx", "encoder-epoch-20-avg-1.onnx", "joiner-epoch-20-avg-1.onnx"],
            id="zipformer_transducer_in_three_files",
        ),
    ],
)
def test_the_kind_of_a_model_is_told_by_its_files(
    files: Mapping[str, Mapping[str, str]], prefer_int8: bool, kind: str, chosen: list[str], tmp_path: Path
) -> None:
    folder = model_folder(tmp_path, {"tokens.txt": TOKENS, **files})

    found = find_model(folder, prefer_int8=prefer_int8)

    assert found.kind == kind
    assert sorted(file.name for file in found.files.values()) == chosen
    assert found.tokens == folder / "tokens.txt"


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({"model.onnx": SENSE_VOICE}, "lacks tokens.txt: take the whole folder", id="no_tokens"),
        pytest.param(
            {"tokens.txt": None, "model.onnx": SENSE_VOICE}, "tokens.txt is no list of tokens", id="tokens_not_fetched"
        ),
        pytest.param({"tokens.txt": TOKENS}, "holds neither model", id="no_model"),
        pytest.param(
            {"tokens.txt": TOKENS, "encoder.onnx": {"model_type": "zipformer2"}, "decoder.onnx": {}},
            r"lacks joiner\*\.onnx",
            id="part_of_a_transducer",
        ),
        pytest.param({"tokens.txt": TOKENS, "model.onnx": STREAMING}, "is a streaming model", id="streaming_ctc"),
        pytest.param(
            {"tokens.txt": TOKENS, "encoder.onnx": STREAMING, "decoder.onnx": {}, "joiner.onnx": {}},
            "is a streaming model",
            id="streaming_transducer",
        ),
        pytest.param(
            {"tokens.txt": TOKENS, "model.onnx": {"model_type": "moonshine"}},
            "its type is 'moonshine'",
            id="another_kind",
        ),
        pytest.param({"tokens.txt": TOKENS, "model.onnx": {}}, "does not say of what type", id="no_type"),
        pytest.param({"tokens.txt": TOKENS, "model.onnx": None}, "pointer of Git LFS", id="not_fetched"),
    ],
)
def test_a_folder_that_cannot_be_used_says_what_to_do(files: Files, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=sentence):
        find_model(model_folder(tmp_path, files), prefer_int8=True)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"sherpa_model names the folder .*nowhere, which does not exist"):
        find_model(tmp_path / "nowhere", prefer_int8=True)


def test_a_model_is_named_by_its_folder_and_its_content(tmp_path: Path) -> None:
    names = []
    for properties in (SENSE_VOICE, SENSE_VOICE | {"version": "2"}):
        folder = model_folder(tmp_path, {"tokens.txt": TOKENS, "model.onnx": properties})
        names.append(find_model(folder, prefer_int8=True).name)

    assert len(set(names)) == 2
    assert all(name.startswith(f"{tmp_path.name}@") for name in names)


def test_without_the_package_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    folder = model_folder(tmp_path, {"tokens.txt": TOKENS, "model.onnx": SENSE_VOICE})

    with pytest.raises(WeightsError, match=r"pip install 'callstream\[sherpa-onnx\]'"):
        SherpaOnnxEngine(model=folder, device="cpu", threads=1, batch_size=8)


def test_a_model_that_the_library_cannot_load_is_named(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, {"tokens.txt": TOKENS, "model.onnx": SENSE_VOICE})

    with pytest.raises(WeightsError, match=rf"cannot load the model in {tmp_path} on cpu \(\w+\): take the folder"):
        SherpaOnnxEngine(model=folder, device="cpu", threads=1, batch_size=8)


class Hiss:
    """Noise that is the same at every time."""

    duration_ms = 60_000

    def samples(self, start_ms: int, end_ms: int) -> Samples:
        noise: Samples = np.random.default_rng(start_ms % 97).normal(size=(end_ms - start_ms) * 16).astype(np.float32)
        return noise * np.float32(0.05)


CLIP = SpeechClip(1, 10_000, 12_000, Hiss())


@pytest.mark.parametrize(
    ("text", "tokens", "starts_s", "expected"),
    [
        pytest.param(
            "您好,请",
            ["您", "好", ",", "请"],
            [0.3, 0.5, 0.7, 0.9],
            [("您", 10_000, 10_200), ("好", 10_200, 10_400), (",", 10_400, 10_600), ("请", 10_600, 11_200)],
            id="characters_each_until_the_next_and_not_endless",
        ),
        pytest.param(
            "我的vip 会员",
            ["我", "的", "v@@", "ip", "会", "员"],
            [0.3, 0.4, 0.5, 0.6, 0.7, 0.8],
            [
                ("我", 10_000, 10_100),
                ("的", 10_100, 10_200),
                ("vip", 10_200, 10_400),
                (" 会", 10_400, 10_500),
                ("员", 10_500, 11_100),
            ],
            id="pieces_marked_behind_as_paraformer_does",
        ),
        pytest.param(
            "thanks for it",
            ["▁th", "ank", "s", "▁for", "▁it"],
            [0.3, 0.4, 0.5, 0.6, 0.9],
            [("thanks", 10_000, 10_300), (" for", 10_300, 10_600), (" it", 10_600, 11_200)],
            id="pieces_marked_in_front_as_sense_voice_does",
        ),
        pytest.param(
            "好ok的",
            ["好", "▁ok", "的"],
            [0.3, 0.5, 0.9],
            [("好", 10_000, 10_200), ("ok", 10_200, 10_600), ("的", 10_600, 11_200)],
            id="a_foreign_word_among_characters",
        ),
        pytest.param(
            "嗯",
            ["嗯"],
            [9.0],
            [("嗯", 12_000, 12_000)],
            id="a_time_behind_the_clip_is_brought_back",
        ),
        pytest.param("您好", ["您", "好"], [], [], id="no_times"),
        pytest.param("您好", ["<0xE6>", "<0x82>", "<0xA8>"], [0.1, 0.2, 0.3], [], id="tokens_are_bytes"),
        pytest.param("1234元", ["一", "千"], [0.1, 0.2], [], id="text_was_rewritten"),
        pytest.param("", [], [], [], id="nothing"),
    ],
)
def test_tokens_become_words_of_the_text_at_times_of_the_recording(
    text: str, tokens: Sequence[str], starts_s: Sequence[float], expected: list[tuple[str, int, int]]
) -> None:
    words = words_of(CLIP, text, tokens, starts_s, [], LEAD_MS)

    assert [(word.text, word.start_ms, word.end_ms) for word in words] == expected
    assert not words or "".join(word.text for word in words) == text


def test_a_word_is_as_sure_as_its_pieces_where_the_model_says_how_sure_it_is() -> None:
    (word,) = words_of(CLIP, "ok", ["▁o", "k"], [0.3, 0.4], [np.log(0.9), np.log(0.5)], LEAD_MS)

    assert word.confidence == pytest.approx(0.7)


@dataclass
class Result:
    """The part of a sherpa-onnx result that is read."""

    text: str
    lang: str = ""
    tokens: Sequence[str] = ()
    timestamps: Sequence[float] = ()
    ys_log_probs: Sequence[float] = ()


@pytest.mark.parametrize(
    ("result", "no_speech", "confidence"),
    [
        pytest.param(Result("您好", "<|zh|>", ["您", "好"], [0.3, 0.5]), 0.0, 0.5, id="speech"),
        pytest.param(Result("我", "<|nospeech|>", ["我"], [0.3]), 1.0, 0.5, id="the_model_hears_nobody"),
        pytest.param(Result(""), 0.0, 0.0, id="no_text"),
        pytest.param(Result("您好"), 0.0, 0.5, id="text_without_tokens"),
    ],
)
def test_a_result_becomes_the_speech_of_its_clip(result: Result, no_speech: float, confidence: float) -> None:
    speech = speech_of(CLIP, result)

    assert (speech.channel, speech.start_ms, speech.end_ms, speech.text) == (1, 10_000, 12_000, result.text)
    assert (speech.no_speech_probability, speech.confidence) == (no_speech, confidence)


def spans(*lengths_ms: int) -> list[SpeechClip]:
    return [SpeechClip(0, start * 10_000, start * 10_000 + length, Hiss()) for start, length in enumerate(lengths_ms)]


@pytest.mark.parametrize(
    ("told", "hint", "expected"),
    [
        pytest.param(["zh", "en", "zh"], None, ("zh", 0.75), id="most_of_the_speech"),
        pytest.param(["nospeech", "en", "en"], "zh", ("en", 1.0), id="silence_has_no_language"),
        pytest.param(["en", "zh", "zh"], "zh", ("en", 0.5), id="the_first_of_two_that_are_equal"),
        pytest.param(["", "", ""], "zh-CN", ("zh", 0.0), id="the_model_does_not_say"),
        pytest.param(["", "", ""], None, ("zh", 0.0), id="nobody_says"),
    ],
)
def test_the_language_is_that_of_most_of_the_speech(
    told: list[str], hint: str | None, expected: tuple[str, float]
) -> None:
    assert language_of(spans(2_000, 1_000, 1_000), told, hint) == expected


def test_a_tiny_sense_voice_goes_through_the_real_library(tmp_path: Path) -> None:
    tiny_sense_voice.write(tmp_path)
    engine = SherpaOnnxEngine(model=tmp_path, device="cpu", threads=1, batch_size=2)
    clips = spans(1_500, 600, 4_000)

    recognition = engine.recognize(clips, language_hint=None)

    assert (recognition.language, recognition.language_confidence) == ("zh", 1.0)
    assert [(each.channel, each.start_ms, each.end_ms) for each in recognition.speech] == [
        (clip.channel, clip.start_ms, clip.end_ms) for clip in clips
    ]
    for each in recognition.speech:
        assert each.text == "".join(word.text for word in each.words) != ""
        assert all(each.start_ms <= word.start_ms <= word.end_ms <= each.end_ms for word in each.words)
    assert (engine.identity.name, engine.identity.version) == ("sherpa-onnx", version("sherpa-onnx"))
    assert engine.identity.model.startswith(f"{tmp_path.name}@")
    assert engine.identity.settings == {"batch_size": 2, "device": "cpu", "kind": "sense_voice", "recipe": 1}
    with pytest.raises(ValueError, match="no clips"):
        engine.recognize([], language_hint=None)


@pytest.mark.parametrize(
    ("write", "kind", "has_words"),
    [
        pytest.param(tiny_recognisers.write_paraformer, "paraformer", False, id="paraformer_without_times"),
        pytest.param(tiny_recognisers.write_zipformer_ctc, "zipformer_ctc", True, id="zipformer_ctc"),
        pytest.param(tiny_recognisers.write_transducer, "transducer", True, id="zipformer_transducer"),
    ],
)
def test_tiny_models_of_the_other_kinds_go_through_the_real_library(
    write: Callable[[Path], None], kind: str, has_words: bool, tmp_path: Path
) -> None:
    write(tmp_path)
    engine = SherpaOnnxEngine(model=tmp_path, device="cpu", threads=1, batch_size=2)
    clips = spans(1_500, 600, 4_000)

    recognition = engine.recognize(clips, language_hint="zh-CN")

    assert engine.identity.settings["kind"] == kind
    assert (recognition.language, recognition.language_confidence) == ("zh", 0.0), "these do not tell a language"
    assert [(each.start_ms, each.end_ms) for each in recognition.speech] == [
        (clip.start_ms, clip.end_ms) for clip in clips
    ]
    for each in recognition.speech:
        assert set(each.text) <= set("您好请问有什么可以帮的")
        assert each.text
        assert "".join(word.text for word in each.words) == (each.text if has_words else "")
        assert all(each.start_ms <= word.start_ms <= word.end_ms <= each.end_ms for word in each.words)
