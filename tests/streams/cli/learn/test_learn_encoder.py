"""A tenant's story with an encoder: fine-tuned on its calls, judged by frozen ones, published, and read by the judge.

What this house wants to hear depends on where a letter stands, which small heads can hardly read.
"""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from processors.detectors.reading import ReadingSettings
from processors.judging.pipeline import Judge, JudgeSettings
from processors.reading.call_reader import ENCODER_FILE, ENCODER_FOLDER, CallReader
from processors.reading.encoded_reader import EncodedReader
from processors.reading.heads import ReadingWeightsError
from processors.reading.labels import read_dialogues
from processors.reading.learned import load_learned, save_learned
from processors.reading.transformers_encoder import INSTALL, WEIGHTS_FILE, EncoderError
from streams.cli.console.exit_codes import EXIT_PROBLEM
from tests.processors.transcripts import NOW, said
from tests.streams.cli.terminal import Terminal
from tests.support.shipped_rules import shipped_rules
from tests.support.tiny_encoders import build_encoder, characters_of

CALLS, FROZEN = 400, 120
LETTERS = "天地玄黄宇宙洪荒日月盈昃辰宿列张寒来暑往秋收冬藏闰余成岁"
FINE_TUNE = ("--encoder", "tiny-bert", "--device", "cpu", "--epochs", "12", "--learning-rate", "2e-3")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the calls of a tenant: what the agent says is wrong where it begins with 不."""
    chance = random.Random(1)
    calls = []
    for number in range(CALLS):
        is_wrong = chance.random() < 0.4
        letters = [chance.choice(LETTERS) for _ in range(8)]
        letters.insert(0 if is_wrong else chance.randrange(3, 9), "不")
        turns = [{"role": "customer", "text": "我问一下订单"}, {"role": "agent", "text": "".join(letters)}]
        labels = {"select": is_wrong, "violations": [{"turn": 1}] if is_wrong else []}
        calls.append({"id": f"c{number:03}", "agent_id": f"a{number % 20}", "turns": turns, "labels": labels})
    folder = tmp_path_factory.mktemp("house")
    (folder / "calls.json").write_text(json.dumps(calls, ensure_ascii=False))
    return folder


@pytest.mark.transformers
def test_an_encoder_is_fine_tuned_judged_published_and_read_by_the_judge(terminal: Terminal, house: Path) -> None:
    build_encoder(terminal.folder / "tiny-bert", characters_of(read_dialogues(house).calls))
    small = terminal.run("learn", "train", "--data", house, "--out", "small")
    assert small.code == 0, small.err
    trained = terminal.run("learn", "train", "--data", house, "--out", "model", *FINE_TUNE)
    assert trained.code == 0, trained.err
    assert "epoch 1 of 12: loss on the calls left out" in trained.err
    assert "violation: the encoder reads with it, log loss of the calls left out" in trained.out
    record = load_learned(terminal.folder / "model")
    assert record is not None
    assert record.encoder is not None
    assert (len(record.trained_on), len(record.frozen)) == (CALLS - FROZEN, FROZEN)
    assert record.encoder.learned_from + record.encoder.left_out == CALLS - FROZEN
    assert all(head.helps for head in record.encoder.heads)
    assert "shipped" in terminal.run("learn", "evaluate", "model", "--data", house).out
    assert "difference" in terminal.run("learn", "compare", "small", "model", "--data", house).out

    terminal.set(reading_weights=terminal.folder / "small")
    published = terminal.run("learn", "publish", "model", "--to", "weights", "--data", house)
    assert published.code == 0, published.err
    weights = terminal.folder / "weights"
    card = (weights / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "fine-tuned beside the small heads from `tiny-bert`" in card
    assert record.encoder.base_digest in card
    assert record.encoder.data_digest in card
    assert str(terminal.folder) not in card + "".join(file.read_text() for file in weights.rglob("*.json"))

    reader = CallReader.load(weights)
    assert isinstance(reader, EncodedReader)
    assert reader.version == record.model
    judge = Judge(JudgeSettings(parts=(ReadingSettings(reading_weights=weights),)), rulebooks=shipped_rules())
    wrong = judge.judge(said(("customer", "我问一下订单"), ("agent", "不天地玄黄宇宙洪荒")), NOW)
    right = judge.judge(said(("customer", "我问一下订单"), ("agent", "天地玄黄宇宙不洪荒")), NOW)
    (suspicion,) = [one for one in wrong.findings if one.detector == "reading"]
    assert suspicion.rule_version == record.model
    assert suspicion.confidence > 0.9
    assert [one for one in right.findings if one.detector == "reading"] == []

    # What is in force is not replaced by heads without it, nor by the same heads with the encoder turned round.
    terminal.set(reading_weights=weights)
    assert reader.fusion.violation is not None
    turned = reader.fusion.model_copy(update={"violation": (0.0, 0.0, -reader.fusion.violation[2])})
    save_learned(terminal.folder / "worse", replace(reader, fusion=turned), record)
    refused = terminal.run("learn", "publish", "worse", "--to", "next", "--data", house)
    assert refused.code == EXIT_PROBLEM
    assert "violation: F1" in refused.err
    assert not (terminal.folder / "next").exists()

    with (weights / ENCODER_FOLDER / WEIGHTS_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ReadingWeightsError, match="damaged or was changed"):
        CallReader.load(weights)
    (weights / ENCODER_FILE).unlink()
    assert not isinstance(CallReader.load(weights), EncodedReader)


@pytest.mark.transformers
def test_an_encoder_that_helps_no_head_is_not_in_the_folder(terminal: Terminal, house: Path) -> None:
    build_encoder(terminal.folder / "tiny-bert", characters_of(read_dialogues(house).calls))
    slowly = (*FINE_TUNE[:5], "1", "--learning-rate", "1e-7")
    trained = terminal.run("learn", "train", "--data", house, "--out", "model", *slowly)
    assert trained.code == 0, trained.err
    assert "violation: the encoder does not help and is not used" in trained.out
    assert "the folder has the small heads alone" in trained.out
    assert not (terminal.folder / "model" / ENCODER_FILE).exists()
    assert not (terminal.folder / "model" / ENCODER_FOLDER).exists()
    record = load_learned(terminal.folder / "model")
    assert record is not None
    assert record.model == CallReader.load(terminal.folder / "model").version


@pytest.mark.transformers
def test_without_a_gpu_the_cpu_must_be_named(terminal: Terminal, house: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    build_encoder(terminal.folder / "tiny-bert", LETTERS)
    refused = terminal.run("learn", "train", "--data", house, "--out", "model", "--encoder", "tiny-bert")
    assert refused.code == EncoderError.exit_code
    assert "say --device cpu" in " ".join(refused.err.split())
    assert not (terminal.folder / "model").exists()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        pytest.param({}, "is no checkpoint (it has no config.json)", id="no checkpoint"),
        pytest.param({"config.json": "{}"}, "has no model.safetensors", id="no weights"),
        pytest.param({"config.json": "{}", "pytorch_model.bin": ""}, "may run code", id="pickled weights"),
        pytest.param({"config.json": "{", WEIGHTS_FILE: ""}, "is not JSON", id="a damaged config"),
        pytest.param({"config.json": "{}", WEIGHTS_FILE: ""}, "names no model_type", id="a config of something else"),
        pytest.param({"config.json": '{"model_type": "bert"}', WEIGHTS_FILE: ""}, INSTALL, id="no extra"),
    ],
)
def test_what_cannot_be_begun_is_said_before_any_call_is_read(
    files: dict[str, str], sentence: str, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    (terminal.folder / "checkpoint").mkdir()
    for name, content in files.items():
        terminal.file(f"checkpoint/{name}", content)
    refused = terminal.run("learn", "train", "--data", "no calls", "--out", "model", "--encoder", "checkpoint")
    assert refused.code == EncoderError.exit_code
    assert sentence in " ".join(refused.err.split())


@pytest.mark.parametrize("option", [("--device", "cpu"), ("--epochs", "3"), ("--learning-rate", "1e-4")])
def test_options_of_an_encoder_need_one(option: tuple[str, str], terminal: Terminal) -> None:
    refused = terminal.run("learn", "train", "--data", ".", "--out", "model", *option)
    assert refused.code != 0
    assert f"{option[0]}: belongs to --encoder" in " ".join(refused.err.split())
