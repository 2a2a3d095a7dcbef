"""What reading says where rules know nothing: the measures that people and programs look at have the best answer."""

from schemas.messages.call_analysis import CallAnalysis, MeasureValue

ABOUT_AGENTS = frozenset({"identity_verified_before_disclosure"})
"""What is read of these may accuse the agent: tables that agents see, scores and KPIs have what rules know alone."""

READ = "read"
"""Why a measure of the tables is null that reading has a value of."""


def with_read_measures(analysis: CallAnalysis) -> CallAnalysis:
    """The analysis with what reading says of measures of which rules found nothing, named in `read_measures`.

    Made after score, risk and selection, which rest on what is certain. A threat that rules miss is one where reading
    believes it; whether somebody asked who is calling is read where no rule was asked.
    """
    read: dict[str, MeasureValue] = {}
    if analysis.measures.get("complaint_threat") is False and analysis.measures.get("reading_threatens") is True:
        read["complaint_threat"] = True
    verified = analysis.measures.get("reading_identity_verified")
    if verified is not None and analysis.measures.get("identity_verified_before_disclosure", True) is None:
        read["identity_verified_before_disclosure"] = verified
    if not read:
        return analysis
    return analysis.model_copy(
        update={
            "measures": analysis.measures | read,
            "read_measures": tuple(sorted(read)),
            "skipped_analysis": tuple(one for one in analysis.skipped_analysis if one.measure not in read),
        }
    )
