import pytest

from processors.detectors.base.contract import DetectorContext, Measure, NotMeasured
from processors.detectors.duration import DurationDetector, DurationSettings, detector
from processors.judging.call_context import CallContext
from processors.rules.rulebook import Rulebooks
from schemas.config.tenants import DurationBand, IndustryEntry, TenantEntry, Tenants
from schemas.messages.outcome import Outcome
from tests.processors.transcripts import heard, not_heard

MINUTE_MS = 60_000


@pytest.mark.parametrize(
    ("duration_ms", "in_band"),
    [
        pytest.param(3 * MINUTE_MS - 1, False, id="a millisecond below"),
        pytest.param(3 * MINUTE_MS, True, id="the lower end belongs to the band"),
        pytest.param(5 * MINUTE_MS, True, id="in the middle"),
        pytest.param(8 * MINUTE_MS, True, id="the upper end belongs to the band"),
        pytest.param(8 * MINUTE_MS + 1, False, id="a millisecond above"),
    ],
)
def test_both_ends_belong_to_the_band(duration_ms: int, in_band: bool) -> None:
    detector = DurationDetector(3 * MINUTE_MS, 8 * MINUTE_MS)
    transcript = heard([("agent", 0, 1_000, "您好")], duration_ms=duration_ms)
    assert list(detector.process(CallContext(transcript))) == [
        Measure("duration_ms", duration_ms),
        Measure("duration_in_band", in_band),
    ]


def test_the_band_is_a_setting() -> None:
    transcript = heard([("agent", 0, 1_000, "您好")], duration_ms=20_000)
    assert Measure("duration_in_band", True) in list(DurationDetector(10_000, 30_000).process(CallContext(transcript)))
    assert Measure("duration_in_band", False) in list(DurationDetector(30_000, 60_000).process(CallContext(transcript)))


@pytest.mark.parametrize("outcome", ["too_short", "bad_audio", "unsupported"])
def test_a_decoded_call_that_was_not_heard_has_a_length_but_is_in_no_band(outcome: Outcome) -> None:
    transcript = not_heard(outcome, duration_ms=2_942)
    assert list(DurationDetector(1_000, 60_000).process(CallContext(transcript))) == [
        Measure("duration_ms", 2_942),
        NotMeasured("duration_in_band", outcome),
    ]


def test_a_call_without_audio_has_no_length() -> None:
    transcript = not_heard("no_audio", duration_ms=None)
    assert list(DurationDetector(1_000, 60_000).process(CallContext(transcript))) == [
        NotMeasured("duration_ms", "no_audio"),
        NotMeasured("duration_in_band", "no_audio"),
    ]


@pytest.mark.parametrize(
    ("tenant", "industry", "in_band"),
    [
        pytest.param("acme", "general", True, id="of all"),
        pytest.param("acme", "medical", False, id="of the industry"),
        pytest.param("bolt", "medical", True, id="the tenant goes before the industry"),
        pytest.param("cord", "medical", False, id="a tenant without a band has that of the industry"),
    ],
)
def test_the_band_is_that_of_the_tenant_or_the_industry(tenant: str, industry: str, in_band: bool) -> None:
    """R42."""
    tenants = Tenants(
        version=1,
        tenants=(
            TenantEntry(id="bolt", duration_band=DurationBand(min_s=60, max_s=240)),
            TenantEntry(id="cord", timezone="Europe/London"),
        ),
        industries=(IndustryEntry(id="medical", duration_band=DurationBand(min_s=300, max_s=900)),),
    )
    of_settings = DetectorContext(Rulebooks(()), (DurationSettings(),), tenants=tenants)
    transcript = heard([("agent", 0, 1_000, "您好")], duration_ms=4 * MINUTE_MS)
    call = transcript.call.model_copy(update={"tenant_id": tenant, "industry": industry})
    context = CallContext(transcript.model_copy(update={"tenant_id": tenant, "call": call}))
    assert Measure("duration_in_band", in_band) in list(detector(of_settings).process(context))


@pytest.mark.parametrize(
    ("duration_ms", "in_band"),
    [(239_999, False), (240_000, True), (240_001, True), (300_000, True), (300_001, False)],
)
def test_a_tenant_whose_band_touches_that_of_its_industry_has_its_own_ends(duration_ms: int, in_band: bool) -> None:
    tenants = Tenants(
        version=1,
        tenants=(TenantEntry(id="bolt", duration_band=DurationBand(min_s=240, max_s=300)),),
        industries=(IndustryEntry(id="medical", duration_band=DurationBand(min_s=0, max_s=240)),),
    )
    of_settings = DetectorContext(Rulebooks(()), (DurationSettings(),), tenants=tenants)
    transcript = heard([("agent", 0, 1_000, "您好")], duration_ms=duration_ms)
    call = transcript.call.model_copy(update={"tenant_id": "bolt", "industry": "medical"})
    context = CallContext(transcript.model_copy(update={"tenant_id": "bolt", "call": call}))
    assert Measure("duration_in_band", in_band) in list(detector(of_settings).process(context))
