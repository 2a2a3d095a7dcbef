"""Attributes computed once, on first access."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")


class remembered(Generic[T]):  # noqa: N801 - a decorator
    """What `functools.cached_property` is from Python 3.12 on: without the lock, which cost more than most of what is
    worked out. Of two threads that ask at once both work it out, with the same result."""

    def __init__(self, work_out: Callable[[Any], T]) -> None:
        self._work_out = work_out
        self._name = work_out.__name__
        self.__doc__ = work_out.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> "remembered[T]": ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> "T | remembered[T]":
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._work_out(instance)
        return value
