"""Models in the shapes of Paraformer, Zipformer CTC and a Zipformer transducer that know a few characters.

They understand nothing and go through the real library. Inputs, outputs and properties are those of published exports.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

Value = tuple[str, int, Sequence[str | int]]
"""An input or output of a model: its name, type and shape."""

FLOAT, INT32, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32, onnx.TensorProto.INT64
_TOKENS = ["<blk>", "<s>", "</s>", "<unk>", *"您好请问有什么可以帮的"]
_SPECIAL = 4
_BLANK, _END = 0, 2
_FILTERS, _STACKED = 80, 560
_DIMENSIONS = 8
_SUBSAMPLING = 4
_CONTEXT = 2


def write_paraformer(folder: Path) -> None:
    """Write model.int8.onnx and tokens.txt. A token a frame until the padding; it tells no times."""
    nodes = [*_guessed("speech", "logits"), onnx.helper.make_node("Identity", ["speech_lengths"], ["token_num"])]
    taken: list[Value] = [("speech", FLOAT, ["N", "T", _STACKED]), ("speech_lengths", INT32, ["N"])]
    given: list[Value] = [("logits", FLOAT, ["N", "L", len(_TOKENS)]), ("token_num", INT32, ["N"])]
    properties = {
        "model_type": "paraformer",
        "vocab_size": str(len(_TOKENS)),
        "lfr_window_size": "7",
        "lfr_window_shift": "6",
        "neg_mean": ",".join(["0"] * _STACKED),
        "inv_stddev": ",".join(["0.1"] * _STACKED),
    }
    constants = {"weights": _weights(_STACKED, len(_TOKENS)), "bias": _bias(_END)}
    _save(folder / "model.int8.onnx", nodes, taken, given, constants, properties)
    _write_tokens(folder)


def write_zipformer_ctc(folder: Path) -> None:
    """Write model.onnx and tokens.txt. A token in each fourth frame."""
    nodes = [*_subsampled(), *_guessed("heard", "log_probs")]
    taken: list[Value] = [("x", FLOAT, ["N", "T", _FILTERS]), ("x_lens", INT64, ["N"])]
    given: list[Value] = [("log_probs", FLOAT, ["N", "L", len(_TOKENS)]), ("heard_lens", INT64, ["N"])]
    constants = _SUBSAMPLING_CONSTANTS | {"weights": _weights(_FILTERS, len(_TOKENS)), "bias": _bias(_BLANK)}
    _save(folder / "model.onnx", nodes, taken, given, constants, {"model_type": "zipformer2_ctc"})
    _write_tokens(folder)


def write_transducer(folder: Path) -> None:
    """Write encoder.onnx, decoder.onnx, joiner.onnx and tokens.txt."""
    node = onnx.helper.make_node
    encoding = [*_subsampled(), node("MatMul", ["heard", "weights"], ["encoder_out"])]
    taken: list[Value] = [("x", FLOAT, ["N", "T", _FILTERS]), ("x_lens", INT64, ["N"])]
    given: list[Value] = [("encoder_out", FLOAT, ["N", "L", _DIMENSIONS]), ("heard_lens", INT64, ["N"])]
    constants = _SUBSAMPLING_CONSTANTS | {"weights": _weights(_FILTERS, _DIMENSIONS)}
    _save(folder / "encoder.onnx", encoding, taken, given, constants, {"model_type": "zipformer2"})

    decoding = [
        node("Cast", ["y"], ["tokens"], to=FLOAT),
        node("ReduceMean", ["tokens"], ["token"], axes=[1], keepdims=1),
        node("MatMul", ["token", "spread"], ["decoder_out"]),
    ]
    context = {"vocab_size": str(len(_TOKENS)), "context_size": str(_CONTEXT)}
    out: list[Value] = [("decoder_out", FLOAT, ["N", _DIMENSIONS])]
    spread = {"spread": _weights(1, _DIMENSIONS)}
    _save(folder / "decoder.onnx", decoding, [("y", INT64, ["N", _CONTEXT])], out, spread, context)

    joining = [node("Add", ["encoder_out", "decoder_out"], ["both"]), *_guessed("both", "logit")]
    parts: list[Value] = [(name, FLOAT, ["N", _DIMENSIONS]) for name in ("encoder_out", "decoder_out")]
    vocabulary = {"weights": _weights(_DIMENSIONS, len(_TOKENS)), "bias": _bias(_BLANK)}
    joined: list[Value] = [("logit", FLOAT, ["N", len(_TOKENS)])]
    _save(folder / "joiner.onnx", joining, parts, joined, vocabulary, {"joiner_dim": str(_DIMENSIONS)})
    _write_tokens(folder)


_SUBSAMPLING_CONSTANTS = {
    "start": np.array([0], dtype=np.int64),
    "end": np.array([2**31], dtype=np.int64),
    "axis": np.array([1], dtype=np.int64),
    "step": np.array([_SUBSAMPLING], dtype=np.int64),
    "rest": np.array([_SUBSAMPLING - 1], dtype=np.int64),
}


def _subsampled() -> list[Any]:
    """Each fourth frame of x as heard, and how many there are of each clip as heard_lens."""
    node = onnx.helper.make_node
    return [
        node("Slice", ["x", "start", "end", "axis", "step"], ["heard"]),
        node("Add", ["x_lens", "rest"], ["rounded_up"]),
        node("Div", ["rounded_up", "step"], ["heard_lens"]),
    ]


def _guessed(heard: str, tokens: str) -> list[Any]:
    node = onnx.helper.make_node
    return [node("MatMul", [heard, "weights"], ["guess"]), node("Add", ["guess", "bias"], [tokens])]


def _bias(silence: int) -> NDArray[np.float32]:
    """No token that is no character, but the one that stands for silence: in digital silence it wins."""
    bias = np.zeros(len(_TOKENS), dtype=np.float32)
    bias[:_SPECIAL] = -1_000
    bias[silence] = 0.001
    return bias


def _weights(rows: int, columns: int) -> NDArray[np.float32]:
    weights: NDArray[np.float32] = np.random.default_rng(0).normal(size=(rows, columns)).astype(np.float32)
    return weights * np.float32(0.05)


def _write_tokens(folder: Path) -> None:
    lines = [f"{token} {number}\n" for number, token in enumerate(_TOKENS)]
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")


def _save(
    file: Path,
    nodes: Sequence[Any],
    taken: Sequence[Value],
    given: Sequence[Value],
    constants: Mapping[str, Any],
    properties: dict[str, str],
) -> None:
    value = onnx.helper.make_tensor_value_info
    tensors = [onnx.numpy_helper.from_array(constant, name) for name, constant in constants.items()]
    graph = onnx.helper.make_graph(
        nodes, "tiny", [value(*each) for each in taken], [value(*each) for each in given], tensors
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, str(file))
