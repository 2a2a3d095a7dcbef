"""A customer's phone number as an option: read from standard input, where no other user of the machine sees it."""

import sys

STANDARD_INPUT = "-"


def read_phone_number(option: str, written: str) -> str:
    """The number that `-` stands for, or the one that was written, with a warning: `ps` shows it to everybody."""
    if written == STANDARD_INPUT:
        return sys.stdin.readline().strip()
    sys.stderr.write(
        f"callstream: a number after {option} is seen by every user of this machine while the command runs, and stays "
        f"in the history of the shell: write {option} {STANDARD_INPUT} and give it on standard input\n"
    )
    return written
