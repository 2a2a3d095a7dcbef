"""Hugging Face checkpoints of one layer with random weights, built where transformers is installed."""

from pathlib import Path

import pytest

LABELS = {0: "neutral", 1: "anger", 2: "joy", 3: "disgust"}
CHARACTERS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys("你们太过分了好的谢"))


def build_text_checkpoint(folder: Path, *, seed: int = 0) -> Path:
    """A BERT over single characters; returns the folder."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join(CHARACTERS) + "\n", encoding="utf-8")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=len(CHARACTERS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    transformers.BertTokenizer(str(vocabulary)).save_pretrained(folder)
    return folder


def build_sound_checkpoint(folder: Path, *, sampling_rate_hz: int = 16_000) -> Path:
    """A wav2vec2; returns the folder."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=(8, 8, 8),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=2,
        classifier_proj_size=8,
        id2label=LABELS,
        label2id={name: index for index, name in LABELS.items()},
    )
    transformers.Wav2Vec2ForSequenceClassification(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(sampling_rate=sampling_rate_hz).save_pretrained(folder)
    return folder
