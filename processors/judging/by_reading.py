"""What reading says where rules know nothing: the measures that people and programs look at have the best answer."""

from schemas.messages.call_analysis import CallAnalysis, MeasureValue

ABOUT_AGENTS = frozenset({"identity_verified_before_disclosure", "risk_warning"})
"""What is read of these may accuse the agent: tables that agents see, scores and KPIs have what rules know alone."""

OF_INVESTMENTS = frozenset({"finance.wealth_inquiry", "finance.fund", "finance.securities"})
"""Topics of calls in which a house that calls sells what may lose money."""

READ = "read"
"""Why a measure of the tables is null that reading has a value of."""


def with_read_measures(analysis: CallAnalysis) -> CallAnalysis:
    """The analysis with what reading says of measures of which rules found nothing, named in `read_measures`.

    Made after score, risk and selection, which rest on what is certain. A threat that rules miss is one where reading
    believes it; whether somebody asked who is calling is read where no rule was asked; and who calls about investments
    gave no risk warning where neither rules nor reading find any.
    """
    read: dict[str, MeasureValue] = {}
    if analysis.measures.get("complaint_threat") is False and analysis.measures.get("reading_threatens") is True:
        read["complaint_threat"] = True
    verified = analysis.measures.get("reading_identity_verified")
    if verified is not None and analysis.measures.get("identity_verified_before_disclosure", True) is None:
        read["identity_verified_before_disclosure"] = verified
    if (
        analysis.measures.get("risk_warning", True) is None
        and analysis.measures.get("reading_warns_of_loss") is False
        and _sells_investments(analysis)
    ):
        read["risk_warning"] = False
    if not read:
        return analysis
    return analysis.model_copy(
        update={
            "measures": analysis.measures | read,
            "read_measures": tuple(sorted(read)),
            "skipped_analysis": tuple(one for one in analysis.skipped_analysis if one.measure not in read),
        }
    )


def _sells_investments(analysis: CallAnalysis) -> bool:
    """Whether the house calls a customer about investments. Where customers call, nobody knows who brought them up."""
    return analysis.call.direction == "outbound" and any(one.topic_id in OF_INVESTMENTS for one in analysis.topics)
