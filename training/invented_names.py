"""Names to put in the place of others, so that what stands around a name is learned and not the name."""

import random
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path

from processors.pii.letters_of_names import COMMON_SURNAMES, DOUBLE_SURNAMES, OF_GIVEN_NAMES, SINGLE_SURNAMES
from processors.text.syllables import syllables

_LISTS = Path(__file__).with_suffix(".txt")


def _lists() -> Mapping[str, tuple[str, ...]]:
    """Kind of names → names."""
    lists: dict[str, list[str]] = {}
    for line in _LISTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            names = lists.setdefault(line[2:], [])
        elif not line.startswith("#"):
            names.extend(line.split())
    return {kind: tuple(names) for kind, names in lists.items()}


(
    _LIKED_GIVEN,
    _UYGHUR_NAMES,
    _TIBETAN,
    _MONGOLIAN,
    _WESTERN_GIVEN,
    _WESTERN_FAMILY,
    _JAPANESE_FAMILY,
    _JAPANESE_GIVEN,
    _KOREAN_FAMILY,
) = _lists().values()
_KOREAN_GIVEN = (
    "正浩敏俊哲洙永秀英爱善姬恩惠智贤成民东旭顺玉美淑花子京香真雅妍珠宥娜妍承宇泰亨在石南日光一龙云虎莲镇基勋赫相"
)
_SURNAMES, _COMMON, _DOUBLE = sorted(SINGLE_SURNAMES), sorted(COMMON_SURNAMES), sorted(DOUBLE_SURNAMES)
_LETTERS = sorted(OF_GIVEN_NAMES)
_LONGEST_GIVEN = 2

KNOWN_NAMES = frozenset((*_LIKED_GIVEN, *_UYGHUR_NAMES, *_TIBETAN, *_MONGOLIAN, *_WESTERN_GIVEN, *_WESTERN_FAMILY))
"""Names that also stand alone."""


def other_names(names: Collection[str], chance: random.Random) -> dict[str, str]:
    """For each name of a call another; where one is the end of a longer one, or a side of its dot, so are the
    others.
    """
    others: dict[str, str] = {}
    for name in sorted(names, key=lambda one: (-len(one), one)):
        dotted = next((one for one in others if "·" in one and name in one.split("·")), None)
        whole = next((one for one in others if one.endswith(name) and 0 < len(one) - len(name) <= 2), None)
        if dotted is not None:
            others[name] = others[dotted].split("·")[0 if dotted.split("·")[0] == name else -1]
        elif whole is not None and len(others[whole]) > _LONGEST_GIVEN:
            others[name] = _without_surname(others[whole])
        else:
            others[name] = _like(name, chance, is_given=any(one != name and one.endswith(name) for one in names))
    return others


def _without_surname(name: str) -> str:
    return name[2 if name[:2] in DOUBLE_SURNAMES or len(name) > 3 else 1 :]


def _like(name: str, chance: random.Random, *, is_given: bool) -> str:
    """A name of about the same form."""
    has_surname = name[0] in SINGLE_SURNAMES
    if name[:2] in DOUBLE_SURNAMES and len(name) > 2:
        return chance.choice(_DOUBLE) + _given(chance, min(len(name) - 2, _LONGEST_GIVEN))
    if "·" in name or len(name) > 3 or (len(name) == 3 and not has_surname):
        return _foreign(chance, is_dotted="·" in name, is_long=len(name) > 3)
    if len(name) == 1:
        return _given(chance, 1)
    if len(name) == 2 and has_surname and not is_given and name not in _LIKED_GIVEN:
        return _surname(chance) + _given(chance, 1)
    if chance.random() >= 0.85:
        return _foreign(chance, is_dotted=False, is_long=False)
    return _given(chance, 2) if len(name) == 2 else _surname(chance) + _given(chance, 2)


def _surname(chance: random.Random) -> str:
    drawn = chance.random()
    return chance.choice(_DOUBLE if drawn < 0.05 else _COMMON if drawn < 0.6 else _SURNAMES)


def _given(chance: random.Random, length: int) -> str:
    """A given name of one or two letters: a liked one, letters of two, letters of given names, or one misheard."""
    drawn = chance.random()
    if length == 1:
        return chance.choice(_LETTERS)
    if drawn < 0.4:
        return chance.choice(_LIKED_GIVEN)
    if drawn < 0.55:
        return chance.choice(chance.choice(_LIKED_GIVEN)) + chance.choice(chance.choice(_LIKED_GIVEN))
    if drawn < 0.8:
        return chance.choice(_LETTERS) + chance.choice(_LETTERS)
    if drawn < 0.84:
        return chance.choice(_LETTERS) * 2
    if drawn < 0.9:
        return chance.choice("小晓文子一") + chance.choice(_LETTERS)
    return _misheard(chance.choice(_LIKED_GIVEN), chance)


def _misheard(name: str, chance: random.Random) -> str:
    """The name with one letter of the same sound in place of another."""
    place = chance.randrange(len(name))
    sounds = syllables().get(name[place])
    return name[:place] + chance.choice(_letters_of_sound(sounds[0])) + name[place + 1 :] if sounds else name


@cache
def _letters_of_sound(sound: str) -> str:
    return "".join(letter for letter, sounds in syllables().items() if sounds[0] == sound)


def _foreign(chance: random.Random, *, is_dotted: bool, is_long: bool) -> str:
    """A name of another people: the shares are about those of calls in China."""
    people = chance.random()
    if is_dotted:
        names, families = (_UYGHUR_NAMES,) * 2 if people < 0.5 else (_WESTERN_GIVEN, _WESTERN_FAMILY)
        return f"{chance.choice(names)}·{chance.choice(families)}"
    if people < 0.2:
        return chance.choice(_UYGHUR_NAMES) + (
            chance.choice(_UYGHUR_NAMES) if is_long and chance.random() < 0.4 else ""
        )
    if people < 0.4:
        return chance.choice(_TIBETAN) + (chance.choice(_TIBETAN) if is_long or chance.random() < 0.5 else "")
    if people < 0.6:
        return chance.choice(_MONGOLIAN)
    if people < 0.7:
        return chance.choice(_JAPANESE_FAMILY) + chance.choice(_JAPANESE_GIVEN)
    if people < 0.8:
        return chance.choice(_KOREAN_FAMILY) + "".join(chance.choice(_KOREAN_GIVEN) for _ in range(2))
    return chance.choice(_WESTERN_GIVEN) + (chance.choice(_WESTERN_FAMILY) if is_long and chance.random() < 0.5 else "")
