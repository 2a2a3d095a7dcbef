"""What is found by being there, and what is said of a folder that contradicts itself."""

import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

import pytest

from schemas.found import FoundError, find_classes, find_kinds

LETTERS = "from tests.schemas.test_found import Letter\n"


class Letter(ABC):
    """What the modules of these tests define."""

    kind: ClassVar[str]

    @abstractmethod
    def send(self) -> None:
        """Whatever it is."""


def package_of(folder: Path, monkeypatch: pytest.MonkeyPatch, **modules: str) -> str:
    """The name of a package with these modules, which can be imported during the test."""
    name = f"found_in_{folder.name}"
    (folder / name).mkdir()
    (folder / name / "__init__.py").touch()
    for module, text in modules.items():
        (folder / name / f"{module}.py").write_text(LETTERS + text)
    monkeypatch.syspath_prepend(folder)
    for module in ("", *(f".{each}" for each in modules)):
        monkeypatch.delitem(sys.modules, name + module, raising=False)
    return name


CARD = 'class Card(Letter):\n    kind = "card"\n    def send(self): ...\n'


def test_a_class_is_found_where_it_is_defined_and_not_where_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"found_in_{tmp_path.name}"
    package_of(tmp_path, monkeypatch, b_card=CARD, a_other=f"from {name}.b_card import Card\n", c_none="X = 1\n")
    (found,) = find_classes(name, Letter)  # type: ignore[type-abstract] # what is found is not
    assert (found.__name__, found.__module__) == ("Card", f"{name}.b_card")


def test_what_is_abstract_is_shared_by_others_and_is_none_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = "class Paper(Letter):\n    pass\n"
    name = package_of(tmp_path, monkeypatch, paper=shared, card=CARD.replace("(Letter)", "(Letter, object)"))
    assert list(find_kinds(name, Letter)) == ["card"]  # type: ignore[type-abstract] # what is found is not


@pytest.mark.parametrize(
    ("second", "sentence"),
    [
        pytest.param(CARD, r"card is the kind of .*\.first and of .*\.second", id="claimed twice"),
        pytest.param(
            CARD.replace('kind = "card"', "pass"), r"Card in .*\.second does not say its kind", id="not claimed"
        ),
    ],
)
def test_a_kind_that_is_not_one_is_named_with_its_files(
    second: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = package_of(tmp_path, monkeypatch, first=CARD, second=second)
    with pytest.raises(FoundError, match=sentence):
        find_kinds(name, Letter)  # type: ignore[type-abstract] # what is found is not
