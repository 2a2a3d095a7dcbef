"""A model shaped like SenseVoice that knows a few characters and understands nothing: for its way through the library.

Inputs, outputs and properties are those of the published export.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx

_FEATURES = 560
_TAGS = ["zh", "en", "yue", "ja", "ko", "nospeech", "NEUTRAL", "Speech", "withitn"]
_TOKENS = ["<unk>", "<s>", "</s>", *(f"<|{tag}|>" for tag in _TAGS), *"您好请问有什么可以帮的"]
_PREFIX = ("<|zh|>", "<|NEUTRAL|>", "<|Speech|>", "<|withitn|>")


def write(folder: Path) -> None:
    """Write model.int8.onnx and tokens.txt."""
    lines = [f"{token} {number}\n" for number, token in enumerate(_TOKENS)]
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    model = onnx.helper.make_model(_graph(), opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, _properties())
    onnx.save(model, str(folder / "model.int8.onnx"))


def _graph() -> Any:
    helper, kinds = onnx.helper, onnx.TensorProto
    weights = np.random.default_rng(0).normal(size=(_FEATURES, len(_TOKENS))).astype(np.float32) / 20
    weights[:, : len(_TAGS) + 3] = 0  # no tag but in the prefix
    prefix = np.full((1, len(_PREFIX), len(_TOKENS)), -10, dtype=np.float32)
    for place, token in enumerate(_PREFIX):
        prefix[0, place, _TOKENS.index(token)] = 10
    constants = {
        "weights": weights,
        "prefix": prefix,
        "first": np.array([0], dtype=np.int64),
        "one": np.array([1], dtype=np.int64),
        "zero": np.float32(0),
    }
    node = helper.make_node
    told = ("x_length", "language", "text_norm")
    nodes = [
        node("MatMul", ["x", "weights"], ["heard"]),
        node("Shape", ["x"], ["shape"]),
        node("Gather", ["shape", "first"], ["batch"], axis=0),
        node("Concat", ["batch", "one", "one"], ["times"], axis=0),
        node("Tile", ["prefix", "times"], ["prefixes"]),
        node("Concat", ["prefixes", "heard"], ["all"], axis=1),
        *(node("Cast", [name], [f"{name}_float"], to=kinds.FLOAT) for name in told),
        *(node("ReduceSum", [f"{name}_float"], [f"{name}_sum"], keepdims=0) for name in told),
        node("Sum", [f"{name}_sum" for name in told], ["sum"]),
        node("Mul", ["sum", "zero"], ["nothing"]),
        node("Add", ["all", "nothing"], ["logits"]),
    ]
    inputs = [helper.make_tensor_value_info("x", kinds.FLOAT, ["N", "T", _FEATURES])]
    inputs += [helper.make_tensor_value_info(name, kinds.INT32, ["N"]) for name in told]
    outputs = [helper.make_tensor_value_info("logits", kinds.FLOAT, ["N", "L", len(_TOKENS)])]
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "tiny", inputs, outputs, tensors)


def _properties() -> dict[str, str]:
    return {
        "model_type": "sense_voice_ctc",
        "version": "1",
        "vocab_size": str(len(_TOKENS)),
        "lfr_window_size": "7",
        "lfr_window_shift": "6",
        "normalize_samples": "0",
        "neg_mean": ",".join(["0"] * _FEATURES),
        "inv_stddev": ",".join(["0.1"] * _FEATURES),
        "with_itn": "14",
        "without_itn": "15",
        "lang_auto": "0",
        "lang_zh": "3",
        "lang_en": "4",
        "lang_yue": "7",
        "lang_ja": "11",
        "lang_ko": "12",
        "lang_nospeech": "13",
    }
