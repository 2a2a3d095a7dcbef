"""Checks that this machine has what a setting asks for, before a model is loaded."""

from importlib.metadata import version
from typing import Literal

from schemas.errors import OperatorError

Device = Literal["cpu", "cuda", "auto"]


class DeviceError(OperatorError):
    """The device or the precision that a setting names is not there; the text is a sentence that says what to do."""


def check_whisper_device(device: Device, compute_type: str) -> None:
    """Raise `DeviceError` where CTranslate2 cannot compute with this precision on this device."""
    import ctranslate2  # type: ignore[import-untyped] # ships without types

    if device == "cuda":
        _check_gpu("whisper_device")
    try:
        known = ctranslate2.get_supported_compute_types(device)
    except (RuntimeError, ValueError) as error:
        raise DeviceError(
            f"whisper_device {device} cannot be used ({type(error).__name__}): CUDA 12 and cuDNN 9 must be installed, "
            "or set whisper_device to cpu"
        ) from None
    if compute_type not in known:
        raise DeviceError(
            f"whisper_compute_type {compute_type} is not possible with whisper_device {device} on this machine: "
            f"set it to one of {', '.join(sorted(known))}"
        )


def check_sherpa_device(device: Device) -> None:
    """Raise `DeviceError` where the installed sherpa-onnx would quietly run on the CPU instead of the GPU.

    Its builds for CUDA say so in their version (2.0.1+cuda).
    """
    if device != "cuda":
        return
    installed = version("sherpa-onnx")
    if "+cuda" not in installed:
        raise DeviceError(
            f"sherpa_device cuda is not possible with sherpa-onnx {installed}, which is built for the CPU: install a "
            "build for CUDA from https://k2-fsa.github.io/sherpa/onnx/cuda.html, or set sherpa_device to cpu"
        )
    _check_gpu("sherpa_device")


def _check_gpu(setting: str) -> None:
    import ctranslate2

    if not ctranslate2.get_cuda_device_count():
        raise DeviceError(f"{setting} is cuda, but no NVIDIA GPU is found: check its driver, or set {setting} to cpu")
