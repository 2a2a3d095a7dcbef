"""A device or a precision that is not there ends the start with a sentence, before a model is loaded."""

from pathlib import Path

import ctranslate2  # type: ignore[import-untyped] # ships without types
import pytest

from processors.listening.engines import device
from processors.listening.engines.device import Device, DeviceError, check_sherpa_device, check_whisper_device
from processors.listening.engines.faster_whisper import FasterWhisperEngine
from processors.listening.engines.weights import WeightsError

ON_GPU = {"float16", "int8_float16", "float32"}


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine with as many GPUs as the test says."""
    monkeypatch.setattr(ctranslate2, "get_cuda_device_count", lambda: request.param)
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda name: ON_GPU if name == "cuda" else {"int8"})


@pytest.mark.parametrize("gpus", [0], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_without_a_gpu_the_setting_that_asks_for_one_is_named() -> None:
    with pytest.raises(DeviceError, match=r"whisper_device is cuda, but no NVIDIA GPU is found.*whisper_device to cpu"):
        check_whisper_device("cuda", "float16")


@pytest.mark.parametrize("gpus", [1], indirect=True)
@pytest.mark.usefixtures("gpus")
@pytest.mark.parametrize(
    ("where", "compute_type", "sentence"),
    [
        pytest.param("cpu", "float16", "float16 is not possible with whisper_device cpu.*one of int8$", id="for_gpus"),
        pytest.param("cuda", "int16", "one of float16, float32, int8_float16$", id="for_cpus"),
    ],
)
def test_a_precision_that_the_device_lacks_is_named_with_those_that_it_has(
    where: Device, compute_type: str, sentence: str
) -> None:
    with pytest.raises(DeviceError, match=sentence):
        check_whisper_device(where, compute_type)


@pytest.mark.parametrize("gpus", [1], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_what_the_device_has_is_let_pass() -> None:
    check_whisper_device("cuda", "float16")
    check_whisper_device("cpu", "int8")


@pytest.mark.parametrize("gpus", [1], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_a_gpu_without_its_libraries_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_device: str) -> set[str]:
        raise RuntimeError("Library libcublas.so.12 is not found")

    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", broken)

    with pytest.raises(DeviceError, match=r"cannot be used \(RuntimeError\): CUDA 12 and cuDNN 9 must be installed"):
        check_whisper_device("cuda", "float16")


@pytest.mark.parametrize(
    ("gpus", "installed", "sentence"),
    [
        pytest.param(1, "2.0.1", "sherpa-onnx 2.0.1, which is built for the CPU", id="built_for_the_cpu"),
        pytest.param(0, "2.0.1+cuda", "sherpa_device is cuda, but no NVIDIA GPU is found", id="no_gpu"),
    ],
    indirect=["gpus"],
)
@pytest.mark.usefixtures("gpus")
def test_sherpa_onnx_does_not_quietly_run_on_the_cpu(
    installed: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "version", lambda _name: installed)

    with pytest.raises(DeviceError, match=sentence):
        check_sherpa_device("cuda")


@pytest.mark.parametrize("gpus", [1], indirect=True)
@pytest.mark.usefixtures("gpus")
def test_a_build_of_sherpa_onnx_for_cuda_is_let_pass_where_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "version", lambda _name: "2.0.1+cuda12.cudnn9")

    check_sherpa_device("cuda")
    check_sherpa_device("cpu")


def test_a_model_that_cannot_be_loaded_is_named_with_its_folder(tmp_path: Path) -> None:
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).write_text("{}")

    with pytest.raises(WeightsError, match=rf"the model in {tmp_path} cannot be loaded on cpu \(RuntimeError\)"):
        FasterWhisperEngine(
            model=str(tmp_path),
            cache_dir=tmp_path,
            device="cpu",
            compute_type="int8",
            threads=1,
            beam_size=5,
            batch_size=8,
        )
