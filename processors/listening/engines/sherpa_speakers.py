"""The two voices of a mono recording by clustering (sherpa-onnx): a segmentation model and a speaker embedding."""

from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import Field

from processors.file_digests import sha256_of
from processors.listening.diarization import VoiceStretch
from processors.listening.engine_port import ENGINE_SAMPLE_RATE_HZ, ChannelAudio
from processors.listening.engines.device import Device, check_sherpa_device
from processors.listening.engines.onnx_metadata import metadata_of_weights
from processors.listening.engines.sherpa_onnx import sherpa_library
from processors.listening.engines.weights import WeightsError
from schemas.config.settings_part import OptionalPath, SettingsPart
from schemas.messages.interval import Interval

# Rises when the same models would tell voices apart otherwise than before.
_RECIPE = 1

_FILES = "https://k2-fsa.github.io/sherpa/onnx/speaker-diarization/models.html"

# A call has an agent and a customer. Asking for two is surer than a threshold that depends on the embedding.
_VOICES = 2
_LEAST_SPEECH_S = 0.3
_LEAST_PAUSE_S = 0.5

# What sherpa-onnx reads of the two models, and without which it would end the process.
_SEGMENTATION_PROPERTIES = (
    *("sample_rate", "window_size", "receptive_field_size", "receptive_field_shift"),
    *("num_speakers", "powerset_max_classes", "num_classes"),
)
_EMBEDDING_PROPERTIES = ("output_dim", "sample_rate", "normalize_samples")
_EMBEDDING_FRAMEWORKS = ("wespeaker", "3d-speaker")


class SpeakerSettings(SettingsPart):
    """What tells the voices of one channel apart."""

    speaker_models: OptionalPath = Field(
        default=None,
        description="a folder with a segmentation and a speaker embedding model, with which sherpa-onnx guesses "
        "who speaks when on one channel, on `sherpa_device`; not set: no guessing",
    )


class SherpaSpeakerSeparation:
    """Clusters the voices of one channel. Loads the models when built; one thread at a time.

    `folder` holds two ONNX files: a segmentation model of the pyannote kind and a speaker embedding of WeSpeaker or
    3D-Speaker. The whole recording is held in memory while it works, 8 bytes a sample: 460 MB an hour. Raises
    `WeightsError` and `DeviceError` with what to do.
    """

    def __init__(self, *, folder: Path, device: Device, threads: int) -> None:
        library = sherpa_library()
        check_sherpa_device(device)
        segmentation, embedding = find_models(folder)
        self._diarization = _load(library, segmentation, embedding, device, threads)
        self._identity: dict[str, str | int | float | bool | None] = {
            "speakers": f"sherpa-onnx {version('sherpa-onnx')}",
            "speakers_device": device,
            "speakers_embedding": _name(embedding),
            "speakers_recipe": _RECIPE,
            "speakers_segmentation": _name(segmentation),
        }

    @property
    def identity(self) -> dict[str, str | int | float | bool | None]:
        """What changes its answer: version, models and device."""
        return self._identity

    def separate(self, sound: ChannelAudio) -> tuple[VoiceStretch, ...]:
        """Who speaks when, in the order of time. Two voices at most in more than 10 s of sound, else up to three."""
        if not sound.duration_ms:
            return ()
        found = self._diarization.process(sound.samples(0, sound.duration_ms)).sort_by_start_time()
        return stretches_of(found, sound.duration_ms)


def find_models(folder: Path) -> tuple[Path, Path]:
    """The segmentation model and the speaker embedding in a folder, told apart by what the files say of themselves.

    Raises `WeightsError`.
    """
    if not folder.is_dir():
        raise WeightsError(f"speaker_models names the folder {folder}, which does not exist")
    told = {file: metadata_of_weights(file) for file in sorted(folder.glob("*.onnx"))}
    segmentation = [file for file, properties in told.items() if _are_numbers(properties, _SEGMENTATION_PROPERTIES)]
    embedding = [
        file
        for file, properties in told.items()
        if properties.get("framework") in _EMBEDDING_FRAMEWORKS and _are_numbers(properties, _EMBEDDING_PROPERTIES)
    ]
    if len(segmentation) != 1 or len(embedding) != 1:
        raise WeightsError(
            f"the folder {folder} must hold one segmentation model and one speaker embedding (WeSpeaker, 3D-Speaker), "
            f"and holds {len(segmentation)} and {len(embedding)} among {len(told)} ONNX files: take them from {_FILES}"
        )
    for file in (*segmentation, *embedding):
        if int(told[file]["sample_rate"]) != ENGINE_SAMPLE_RATE_HZ:
            raise WeightsError(f"{file} wants another sample rate than 16 kHz: take one from {_FILES}")
    return segmentation[0], embedding[0]


def _are_numbers(properties: dict[str, str], names: Iterable[str]) -> bool:
    return all(properties.get(name, "").isdigit() for name in names)


def _name(file: Path) -> str:
    return f"{file.name}@{sha256_of(file)[:12]}"


def _load(library: Any, segmentation: Path, embedding: Path, provider: Device, threads: int) -> Any:
    how = {"num_threads": threads, "provider": provider}
    try:
        return library.OfflineSpeakerDiarization(
            library.OfflineSpeakerDiarizationConfig(
                segmentation=library.OfflineSpeakerSegmentationModelConfig(
                    pyannote=library.OfflineSpeakerSegmentationPyannoteModelConfig(model=str(segmentation)), **how
                ),
                embedding=library.SpeakerEmbeddingExtractorConfig(model=str(embedding), **how),
                clustering=library.FastClusteringConfig(num_clusters=_VOICES),
                min_duration_on=_LEAST_SPEECH_S,
                min_duration_off=_LEAST_PAUSE_S,
            )
        )
    except (RuntimeError, ValueError) as error:
        raise WeightsError(
            f"sherpa-onnx cannot load the models in {segmentation.parent} on {provider} ({type(error).__name__}): take "
            "them anew; on a GPU, check CUDA, cuDNN and free memory"
        ) from None


def stretches_of(found: Iterable[Any], duration_ms: int) -> tuple[VoiceStretch, ...]:
    """What sherpa-onnx found, in milliseconds within the recording; it may end behind it."""
    stretches = []
    for each in found:
        start_ms, end_ms = max(0, round(each.start * 1000)), min(duration_ms, round(each.end * 1000))
        if start_ms < end_ms:
            stretches.append(VoiceStretch(int(each.speaker), Interval(start_ms=start_ms, end_ms=end_ms)))
    return tuple(sorted(stretches, key=lambda stretch: (stretch.interval.start_ms, stretch.interval.end_ms)))
