"""What a folder holds is found by being there: each file defines its class, and no list names it a second time."""

from importlib import import_module
from inspect import isabstract
from pkgutil import iter_modules
from typing import ClassVar, Protocol, TypeVar

from schemas.errors import OperatorError

T = TypeVar("T")


class HasKind(Protocol):
    """A class that people choose by a word in a setting or a file."""

    kind: ClassVar[str]


K = TypeVar("K", bound=HasKind)


class FoundError(OperatorError):
    """Two files claim the same name, or one of them claims none."""


def find_classes(package: str, base: type[T]) -> tuple[type[T], ...]:
    """The subclasses of `base` that the modules of a package define, by module name; abstract ones are passed over.

    Imports every module of the package: what is slow to import, a module imports where it is used.
    """
    found: list[type[T]] = []
    for name in sorted(module.name for module in iter_modules(import_module(package).__path__)):
        module = import_module(f"{package}.{name}")
        for each in vars(module).values():
            is_its_own = isinstance(each, type) and each.__module__ == module.__name__
            if is_its_own and issubclass(each, base) and not isabstract(each):
                found.append(each)
    return tuple(found)


def find_kinds(package: str, base: type[K]) -> dict[str, type[K]]:
    """The classes that `find_classes` finds, by their `kind`. Raises `FoundError`."""
    kinds: dict[str, type[K]] = {}
    for each in find_classes(package, base):
        kind = getattr(each, "kind", None)
        if not isinstance(kind, str):
            raise FoundError(f"{each.__name__} in {each.__module__} does not say its kind")
        if kind in kinds:
            raise FoundError(f"{kind} is the kind of {kinds[kind].__module__} and of {each.__module__}")
        kinds[kind] = each
    return kinds
