"""Models shaped like a pyannote segmentation and a speaker embedding that know two voices: a deep and a high tone.

They go through the real sherpa-onnx. Inputs, outputs and properties are those of the published exports; the embedding
is the mean spectrum.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, Samples

Shape = Sequence[str | int | None]

DEEP_HZ, HIGH_HZ = 200, 3_000
_RECEPTIVE_FIELD, _SHIFT = 991, 270
_CLASSES = 7  # nobody, three voices, three pairs of them
_MELS = 80
SEGMENTATION = {
    "model_type": "pyannote-segmentation-3.0",
    "sample_rate": "16000",
    "window_size": "160000",
    "receptive_field_size": str(_RECEPTIVE_FIELD),
    "receptive_field_shift": str(_SHIFT),
    "num_speakers": "3",
    "powerset_max_classes": "2",
    "num_classes": str(_CLASSES),
}
EMBEDDING = {
    "framework": "3d-speaker",
    "language": "zh",
    "output_dim": str(_MELS),
    "sample_rate": "16000",
    "normalize_samples": "1",
}


def write(folder: Path) -> None:
    """Write segmentation.onnx and embedding.onnx."""
    _save(folder / "segmentation.onnx", _segmentation(), SEGMENTATION)
    mean = onnx.helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)
    _save(folder / "embedding.onnx", _graph([mean], ["N", "T", _MELS], ["N", _MELS], {}), EMBEDDING)


def tone(pitch_hz: int, duration_ms: int) -> Samples:
    """One of the voices, at 16 kHz."""
    time_s = np.arange(duration_ms * ENGINE_SAMPLE_RATE_HZ // 1000) / ENGINE_SAMPLE_RATE_HZ
    sound: Samples = (0.3 * np.sin(2 * np.pi * pitch_hz * time_s)).astype(np.float32)
    return sound


def _segmentation() -> Any:
    """Energy against that of the differences between samples: the first is larger in deep tones."""
    node = onnx.helper.make_node
    constants = {
        "as_is": np.array([[[0, 1]]], dtype=np.float32),
        "difference": np.array([[[-1, 1]]], dtype=np.float32),
        "threshold": np.float32(1e-4),
        "zero": np.float32(0),
        "less": np.float32(-1),
    }
    pooling: dict[str, Any] = {"kernel_shape": [_RECEPTIVE_FIELD - 1], "strides": [_SHIFT]}
    nodes = [
        node("Conv", ["x", "as_is"], ["sound"]),
        node("Conv", ["x", "difference"], ["steps"]),
        node("Mul", ["sound", "sound"], ["sound_squared"]),
        node("Mul", ["steps", "steps"], ["steps_squared"]),
        node("AveragePool", ["sound_squared"], ["energy"], **pooling),
        node("AveragePool", ["steps_squared"], ["high"], **pooling),
        node("Sub", ["energy", "high"], ["deep"]),
        node("Mul", ["energy", "zero"], ["nothing"]),
        node("Add", ["nothing", "threshold"], ["nobody"]),
        node("Add", ["nothing", "less"], ["never"]),
        node("Concat", ["nobody", "deep", "high", *["never"] * (_CLASSES - 3)], ["classes"], axis=1),
        node("Transpose", ["classes"], ["y"], perm=[0, 2, 1]),
    ]
    return _graph(nodes, ["N", 1, "T"], ["N", "F", _CLASSES], constants)


def _graph(nodes: Sequence[Any], taken: Shape, given: Shape, constants: Mapping[str, Any]) -> Any:
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    tensors = [onnx.numpy_helper.from_array(np.asarray(constant), name) for name, constant in constants.items()]
    return onnx.helper.make_graph(nodes, "tiny", [value("x", kind, taken)], [value("y", kind, given)], tensors)


def _save(file: Path, graph: Any, properties: dict[str, str]) -> None:
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.helper.set_model_props(model, properties)
    onnx.save(model, str(file))
