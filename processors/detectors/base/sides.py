"""What is measured of one side of a call, where agent and customer may be exchanged."""

from collections.abc import Iterable, Iterator

from processors.detectors.base.contract import Measure, NotMeasured, ResponseDelays, Result
from processors.judging.call_context import CallContext

ROLES_DOUBTFUL = "roles_doubtful"


def of_sides(context: CallContext, results: Iterable[Result]) -> Iterator[Result]:
    """The results of measures that tell agent from customer. Where the roles are doubtful these are null, with
    `roles_doubtful`; findings stay, for whoever looks at the call."""
    if not context.roles_doubtful:
        yield from results
        return
    for result in results:
        if isinstance(result, Measure):
            yield NotMeasured(result.name, ROLES_DOUBTFUL)
        elif not isinstance(result, ResponseDelays):
            yield result
