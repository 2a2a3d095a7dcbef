"""Which files of tests go to one process together, where several processes test."""

from xdist.scheduler.loadfile import LoadFileScheduling  # type: ignore[import-untyped] # ships without types


class FilesThatShare(LoadFileScheduling):  # type: ignore[misc] # a class without types
    """A file is for one process, as with `--dist loadfile`; all of analysts are, too, for they share an engine."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return "tests/analysts" if file.startswith("tests/analysts/") else file
