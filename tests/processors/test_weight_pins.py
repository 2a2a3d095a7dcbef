"""Weights that come with callstream are those that were pinned."""

import shutil
from pathlib import Path

import pytest

from processors import weight_files
from processors.weight_files import PINS, PROCESSORS, ChangedWeightsError, read_arrays
from training.pins import pins

NAMES = Path("pii") / "weights" / "names.npz"


def test_every_file_of_weights_is_pinned_as_it_is() -> None:
    assert PINS.read_text(encoding="utf-8") == pins(), "run `python -m training.pins`"
    assert len(weight_files.read_pins()) >= 9


def test_weights_of_ones_own_need_no_pin(tmp_path: Path) -> None:
    shutil.copy(PROCESSORS / NAMES, tmp_path / "names.npz")
    assert read_arrays(tmp_path / "names.npz") is not None
    assert read_arrays(tmp_path / "none.npz") is None


@pytest.mark.parametrize("name", [str(NAMES), "pii/weights/another.npz"])
def test_weights_that_were_changed_or_put_beside_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(weight_files, "PROCESSORS", tmp_path)
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    content = (PROCESSORS / NAMES).read_bytes()
    path.write_bytes(content + b"\0" if name == str(NAMES) else content)
    with pytest.raises(ChangedWeightsError, match="install callstream again"):
        read_arrays(path)
