"""Score, risk, selection and retention class of a call, from its measures and findings."""

from collections.abc import Iterable
from pathlib import Path

from processors.judging.retention import (
    RetentionPeriod,
    fitting_classes,
    retention_by_content,
    retention_by_event,
)
from processors.judging.risk import assess
from processors.judging.scoring import ScoreForms, score
from processors.judging.selection import select
from schemas.config.retention import RETENTION_FILE, TenantPolicies, read_retention_policy
from schemas.config.risk import RISK_FILE, read_risk_rules
from schemas.config.score_form import SCORE_FORM_FOLDER, load_score_forms
from schemas.config.selection import SELECTION_FILE, read_selection_rules
from schemas.config.tenants import ALL_ALIKE, Tenants
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.transcript import Transcript


class Assessor:
    """Built once per judge, from files.

    Raises `ScoreFormError`, `RiskRulesError`, `SelectionRulesError` and `RetentionPolicyError`.
    """

    def __init__(
        self,
        score_form_folders: Iterable[Path] = (),
        risk_file: Path = RISK_FILE,
        selection_file: Path = SELECTION_FILE,
        retention_file: Path = RETENTION_FILE,
        tenants: Tenants = ALL_ALIKE,
    ) -> None:
        self._forms = ScoreForms(load_score_forms((SCORE_FORM_FOLDER, *score_form_folders)))
        self._risk = read_risk_rules(risk_file)
        self._selection = read_selection_rules(selection_file)
        self._retention = TenantPolicies(read_retention_policy(retention_file), tenants)

    def complete(
        self, analysis: CallAnalysis, transcript: Transcript, by_rules: RetentionPeriod | None
    ) -> CallAnalysis:
        """The analysis with scorecard, risk, selection and retention. A call that was not heard has a retention class
        alone.

        `by_rules` is how long the rule packs keep it: they can lengthen what the policy says, never shorten it.
        """
        call = analysis.call
        policy = self._retention.of(call.tenant_id)
        kept = retention_by_event(policy, call)
        if by_rules is not None and by_rules.days > kept.days:
            kept = by_rules
        if analysis.outcome != "analyzed":
            return analysis.model_copy(
                update={
                    "retention_class": kept.retention_class,
                    "retention_days": kept.days,
                    "retention_classes": tuple(one.id for one in fitting_classes(policy, call)),
                }
            )
        texts = [segment.text for segment in transcript.segments]
        kept = retention_by_content(policy, kept, call, analysis.topics, texts)
        facts = (call, analysis.measures, analysis.findings, analysis.skipped_analysis)
        return analysis.model_copy(
            update={
                "scorecard": score(self._forms.of(call), *facts),
                "risk": assess(self._risk, *facts, roles_doubtful=analysis.roles_doubtful),
                "selection": select(self._selection, call, analysis.measures, analysis.findings),
                "retention_class": kept.retention_class,
                "retention_days": kept.days,
                "retention_classes": tuple(one.id for one in fitting_classes(policy, call, analysis.topics, texts)),
            }
        )
