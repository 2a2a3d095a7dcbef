"""What customers open a call with, topic by topic: `training/openings`, read and checked.

python -m training.openings    # checks all files and counts what they hold
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.dialogues import DialogueError, topic_names

OPENINGS = Path(__file__).parent / "openings"


@dataclass(frozen=True)
class Opening:
    """One thing that a customer says, and the topic that it is about."""

    part: str
    industry: str
    topic: str
    text: str


def load_openings(folder: Path = OPENINGS) -> tuple[Opening, ...]:
    """All openings, by part and file. Raises `DialogueError` with everything that is wrong."""
    found: list[Opening] = []
    problems: list[str] = []
    for file in sorted(folder.glob("*/*.txt")):
        for one in _read(file):
            if isinstance(one, Opening):
                found.append(one)
            else:
                problems.append(one)
    if problems:
        raise DialogueError(problems)
    return tuple(found)


def _read(file: Path) -> Iterator[Opening | str]:
    """The openings of a file, and a sentence for each line that is wrong."""
    part, industry, topic = file.parent.name, file.stem, ""
    names = topic_names().get(industry)
    if names is None:
        yield f"{part}/{file.name}: the name of a file is that of an industry: {', '.join(topic_names())}"
        return
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        where = f"{part}/{file.name}:{number}"
        if text.startswith("# "):
            topic = text[2:].strip()
            if topic not in names:
                yield f"{where}: {topic} is no topic of {industry}"
        elif text and not topic:
            yield f"{where}: text before the first topic"
        elif text:
            yield Opening(part, industry, topic, text)


def main() -> None:
    """Check, and print how many openings each topic has; those with the fewest first."""
    found = load_openings()
    counts = Counter({name: 0 for names in topic_names().values() for name in names})
    counts.update(one.topic for one in found)
    print(f"{len(found)} openings")
    for name, count in sorted(counts.items(), key=lambda item: item[1]):
        print(count, name)


if __name__ == "__main__":
    main()
