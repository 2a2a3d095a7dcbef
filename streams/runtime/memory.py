"""How much memory this process has."""

import resource
from pathlib import Path


def memory_bytes() -> int:
    """What of it is resident; 0 where the kernel does not tell."""
    try:
        resident_pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(resident_pages) * resource.getpagesize()
