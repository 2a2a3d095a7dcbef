"""`callstream drain`: the workers of a stage finish what they are at, and end."""

from streams.cli.pause import StageArgument, WaitOption, WhyOption, hold_up


def drain(stage: StageArgument, why: WhyOption, wait_s: WaitOption = None) -> None:
    """Have the workers of a stage end, on every machine, once they have finished what they are at.

    They end with 0, having finished within finish_within_s or handed back what they were at. One that is started while
    the stage is drained waits until `callstream resume`, and loads nothing meanwhile: so does what a supervisor starts
    again. Ends with 1 where workers have not ended in time.
    """
    hold_up(stage, "drain", why, None, wait_s)
