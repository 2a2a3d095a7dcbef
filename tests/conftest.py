"""What holds for every test: how far it may reach, one engine for a process, how long properties are looked at."""

from collections.abc import Iterator

import pytest
import urllib3  # noqa: F401 - it asks at its import whether there is IPv6, which a test may not

from tests.reach import GUARD, Reach, reach_of

GUARD.install()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """To import a test is to reach nothing either, but for git, which says what files there are."""
    with GUARD.limited_to(Reach(processes=True)):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Fixtures of every scope included: the first test that asks for an engine must say so."""
    with GUARD.limited_to(reach_of(marker.name for marker in item.iter_markers())):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """As for the setup. What a test began may be ended after another one, so that teardown is free."""
    with GUARD.limited_to(reach_of(marker.name for marker in item.iter_markers())):
        return (yield)
