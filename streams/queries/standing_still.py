"""Whether the workers of a stage have come to stand still."""

import time

from schemas.config.subscription import subscriber_names
from schemas.errors import OperatorError, RetryableError
from streams.adapters.kafka.members import members_of
from streams.runtime.heartbeat import conditions
from streams.settings import Settings
from streams.topology import groups_of

LOOK_AGAIN_S = 0.5


def at_work(settings: Settings, stage: str) -> list[str]:
    """A sentence for each worker of this machine that does not stand still, and for each consumer group of the stage
    that has members, wherever they run, or of which that is not known.
    """
    here = [each for each in conditions(settings.data_dir) if each.stage == stage]
    sentences = [
        f"{stage} (process {each.pid}) {'has not moved' if each.state == 'frozen' else each.state}"
        for each in here
        if each.state not in ("paused", "gone")
    ]
    groups = groups_of(stage, subscriber_names(settings.subscriptions_file))
    try:
        members = members_of(settings, groups)
    except (RetryableError, OperatorError) as error:
        return [*sentences, f"whether others read is not known: {error}"]
    return sentences + [f"{count} member(s) of the group {name}" for name, count in members.items() if count]


def wait_until_still(settings: Settings, stage: str, within_s: float) -> list[str]:
    """What still works after so long; nothing as soon as all of them stand still."""
    until_s = time.monotonic() + within_s
    while (found := at_work(settings, stage)) and time.monotonic() < until_s:
        time.sleep(LOOK_AGAIN_S)
    return found
