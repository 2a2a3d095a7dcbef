"""Retention classes: the shipped ones keep what is demanded, and what does not hold is refused."""

from pathlib import Path

import pytest

from schemas.config.retention import RETENTION_FILE, RetentionPolicyError, read_retention_policy
from tests.schemas.config.yaml_change import changed, line_of, problems_of


def test_the_shipped_classes_keep_as_long_as_is_demanded() -> None:
    days = {one.id: one.days for one in read_retention_policy().classes}
    assert days["general"] >= 180, "R17"
    assert days["finance"] >= 365, "R18"
    assert days["medical"] >= 365, "R18"
    assert days["education"] >= 365, "R81"
    assert days["education_refund_3y"] >= 3 * 365, "R82"


@pytest.mark.parametrize(
    ("old", "new", "at", "where", "what"),
    [
        pytest.param(
            "days: 180 ",
            "days: 90 ",
            "days: 90",
            "class general, field classes.0.days",
            "input should be greater than or equal to 180",
            id="shorter than six months (R17)",
        ),
        pytest.param("id: medical", "id: finance", "", "", "class finance occurs twice", id="a class twice"),
        pytest.param(
            "days: 180     # R17: six months",
            "days: 180\n    when: {industries: [ecommerce]}",
            "",
            "",
            "one class must be without when and about, for the calls that fit no other",
            id="calls without a class",
        ),
        pytest.param(
            "industries: [medical]",
            "industry: [medical]",
            "industry: [medical]",
            "class medical, field classes.4.when.industry",
            "extra inputs are not permitted",
            id="a slip of the pen",
        ),
        pytest.param(
            "when: {industries: [medical]}",
            "about: {}",
            "about: {}",
            "class medical, field classes.4.about",
            "about needs inquiry_types, topics or phrases",
            id="about nothing",
        ),
    ],
)
def test_a_policy_is_refused_with_file_line_class_and_field(
    old: str, new: str, at: str, where: str, what: str, tmp_path: Path
) -> None:
    file = changed(RETENTION_FILE, tmp_path, old, new)
    with pytest.raises(RetentionPolicyError) as refused:
        read_retention_policy(file)
    place = f"{line_of(file, at)}: {where}: " if at else "1: "
    assert problems_of(refused) == (f"retention.yaml:{place}{what}",)
