"""Many cases in one test: each is tried, and those that fail are named.

A test of its own for each of some hundred cases costs more in setup and reports than it tells. A loop with bare
assertions would stop at the first and not say which it was.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest


class Cases:
    """The cases of one test, and what went wrong in them."""

    def __init__(self) -> None:
        self.tried = 0
        self.failures: dict[str, Exception] = {}

    @contextmanager
    def case(self, *name: object) -> Iterator[None]:
        """One case; what it raises is kept until the end, under its name."""
        self.tried += 1
        text = ", ".join(map(str, name))
        try:
            yield
        except pytest.fail.Exception as failure:
            # That of pytest.raises, where nothing was raised, is no `Exception`.
            self._keep(text, AssertionError(str(failure)))
        except Exception as error:
            self._keep(text, error)

    def _keep(self, name: str, error: Exception) -> None:
        error.add_note(f"in the case: {name}")
        self.failures[name] = error


@contextmanager
def every_case() -> Iterator[Cases]:
    """Raises an `ExceptionGroup` of all that failed, and an `AssertionError` where there was no case at all."""
    cases = Cases()
    yield cases
    assert cases.tried, "no case was tried"
    if cases.failures:
        named = "; ".join(cases.failures)
        raise ExceptionGroup(f"{len(cases.failures)} of {cases.tried} cases: {named}", list(cases.failures.values()))
