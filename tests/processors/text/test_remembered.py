"""Attributes that are worked out once."""

from processors.text.remembered import remembered


class Text:
    """Counts how often it was measured."""

    measured = 0

    @remembered
    def length(self) -> int:
        """How long it is."""
        self.measured += 1
        return 3


def test_an_attribute_is_worked_out_once_for_each_object() -> None:
    one, other = Text(), Text()
    assert (one.length, one.length, other.length) == (3, 3, 3)
    assert (one.measured, other.measured) == (1, 1)


def test_it_keeps_its_docstring() -> None:
    assert Text.length.__doc__ == "How long it is."
