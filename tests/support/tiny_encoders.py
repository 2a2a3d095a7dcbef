"""Encoders of two layers with random weights over the characters of a house, built where transformers is installed."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from processors.reading.adapting import LabelledCall
from processors.reading.encoded_reader import ENCODED


def build_encoder(folder: Path, characters: Iterable[str], *, seed: int = 0) -> Path:
    """A BERT over these single characters, without a head; returns the folder."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder.mkdir(parents=True, exist_ok=True)
    words = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted(set(characters)))
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(words) + "\n", encoding="utf-8")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.1,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    transformers.BertModel(config).save_pretrained(folder)
    transformers.BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def characters_of(calls: Iterable[LabelledCall]) -> set[str]:
    """All that is said in calls, and what encoders are told of sides."""
    return set("。").union(*ENCODED.values(), *(one.letters for call in calls for one in call.said))
