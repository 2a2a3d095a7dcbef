"""A transcript that was made elsewhere: masked, and judged as far as words go."""

from datetime import timedelta

import pytest

from processors.receiving.pipeline import NO_RECORDING, ReceiveSettings, transcript_of
from schemas.messages.call_analysis import CallAnalysis
from schemas.messages.topics import CALLS_TRANSCRIBED
from schemas.messages.transcript import Transcript
from schemas.messages.transcript_received import TranscriptReceived
from tests.processors.receiving.received import ENDED_AT, LINES, Line, TimedLine, received
from tests.support.shipped_rules import shipped_judge

HOW = ReceiveSettings(chinese_script="simplified")
NOW = ENDED_AT + timedelta(minutes=5)
JUDGE = shipped_judge()

OF_SOUND = {
    *("duration_ms", "duration_in_band", "duration_anomaly", "duration_deviation", "recording_doubts"),
    *("customer_agitated_segments", "customer_agitation_max", "customer_sentiment_trend", "agent_agitation_max"),
    "emotion_coping",
}
OF_OVERLAPS = {
    *("agent_turns", "agent_interruptions", "agent_interruption_rate", "agent_back_channels", "overlap_ms"),
    *("customer_turns", "customer_interruptions", "customer_interruption_rate", "customer_back_channels"),
}
OF_TIMES = {
    *("non_talk_ms", "longest_silence_ms", "excused_silences", "excused_silence_ms", "unexcused_silences"),
    *("unexcused_silence_ms", "agent_talk_share", "agent_speech_rate_cpm", "customer_speech_rate_cpm"),
    *("response_delay_median_ms", "response_delay_p90_ms"),
}
TIMED: tuple[TimedLine, ...] = (
    ("agent", "您好，这里是客服中心，请问有什么可以帮您？", 300, 5_000),
    ("customer", "我前天下的订单，到现在物流还没有更新。", 5_800, 9_000),
    ("agent", "请稍等，我帮您查询一下。", 8_000, 11_000),
    ("agent", "让您久等了，预计明天下午可以送到。", 16_000, 20_000),
)

UNSAID = [
    pytest.param("\u200b", id="zero-width space"),
    pytest.param("\ufe0f\u20e3", id="keycaps"),
    pytest.param("\u2066\xad", id="direction and soft hyphen"),
    pytest.param("\x00", id="NUL"),
    pytest.param("\x1b[1m", id="escape sequence"),
    pytest.param("\n", id="line break"),
    pytest.param("\ue000\u0378", id="private use and unassigned"),
    pytest.param("\u3164", id="a blank that counts as a letter"),
]


def made_of(message: TranscriptReceived, how: ReceiveSettings = HOW) -> Transcript:
    return transcript_of(message, how, NOW)


def judged(message: TranscriptReceived) -> CallAnalysis:
    return JUDGE.judge(made_of(message), NOW)


def reasons(analysis: CallAnalysis) -> dict[str, str]:
    return {skipped.measure: skipped.reason for skipped in analysis.skipped_analysis}


class TestTranscriptOf:
    def test_nothing_personal_is_left_in_clear(self) -> None:
        transcript = made_of(received())
        assert "我叫[姓名]，手机号是[手机号]。" in [segment.text for segment in transcript.segments]
        assert {span.kind for span in transcript.pii} == {"name", "mobile"}
        written = transcript.encode().decode()
        assert "王小明" not in written
        assert "一三八零零一三八零零零" not in written

    @pytest.mark.parametrize("between", UNSAID)
    def test_what_nobody_says_hides_nothing_from_masking(self, between: str) -> None:
        number, name = between.join("13800138000"), between.join("王小明")
        transcript = made_of(received(("customer", f"我叫{name}，手机号是{number}{between}。")))
        (segment,) = transcript.segments
        assert segment.text.replace(" ", "") == "我叫[姓名]，手机号是[手机号]。"
        assert {span.kind for span in transcript.pii} == {"name", "mobile"}
        written = transcript.encode().decode()
        for secret in ("13800138000", "王小明", number, name):
            assert secret not in written

    def test_digits_stay_as_the_policy_says(self) -> None:
        how = ReceiveSettings("simplified", {"mobile": 4})
        assert "手机号是[手机号:8000]" in made_of(received(), how).segments[1].text

    def test_it_is_written_in_the_script_wanted(self) -> None:
        assert made_of(received()).segments[2].text == "这款产品保本保息，绝对没有风险。"
        assert "絕對" in made_of(received(), ReceiveSettings("as_heard")).segments[2].text

    def test_it_is_the_message_that_listen_writes(self) -> None:
        transcript = made_of(received(*TIMED, language="yue", recogniser="acme-asr 2"))
        assert CALLS_TRANSCRIBED.decode(transcript.encode()) == transcript
        assert (transcript.outcome, transcript.language, transcript.audio, transcript.sound) == (
            None,
            "yue",
            None,
            None,
        )
        assert (transcript.engine.name, transcript.engine.model) == ("received", "acme-asr 2")
        assert transcript.call.audio == NO_RECORDING
        assert [segment.segment_id for segment in transcript.segments] == [0, 1, 2, 3]

    def test_it_is_older_than_whatever_is_heard_of_the_call(self) -> None:
        assert made_of(received()).transcribed_at == ENDED_AT

    def test_nor_is_it_in_the_future_where_the_clock_of_telephony_is_ahead(self) -> None:
        ahead = received(call={"ended_at": ENDED_AT + timedelta(hours=1)})
        assert made_of(ahead).transcribed_at == NOW

    def test_times_that_are_told_are_kept(self) -> None:
        transcript = made_of(received(*TIMED))
        assert [(one.start_ms, one.end_ms) for one in transcript.segments] == [line[2:] for line in TIMED]
        assert transcript.engine.settings["times"] == "told"
        assert {role: len(speech) for role, speech in transcript.speech.items()} == {"agent": 3, "customer": 1}

    def test_without_times_segments_are_in_order_and_nobody_is_said_to_have_spoken_for_so_long(self) -> None:
        transcript = made_of(received())
        starts_ms = [segment.start_ms for segment in transcript.segments]
        assert starts_ms == sorted(set(starts_ms))
        assert transcript.engine.settings["times"] == "none"
        assert transcript.speech == {}

    @pytest.mark.parametrize(("apart", "channels"), [(True, [0, 1, 0, 1]), (False, [0, 0, 0, 0])])
    def test_sides_that_were_recorded_apart_have_channels_of_their_own(self, apart: bool, channels: list[int]) -> None:
        transcript = made_of(received(separate_channels=apart))
        assert [segment.channel for segment in transcript.segments] == channels


class TestJudgedByWords:
    def test_words_are_judged(self) -> None:
        analysis = judged(received())
        assert (analysis.outcome, analysis.outcome_reason) == ("analyzed", "complete")
        assert {"finance.guaranteed_principal", "finance.no_risk"} <= {one.rule_id for one in analysis.findings}
        assert analysis.measures["sensitive_words"] == 2
        assert analysis.risk is not None
        assert analysis.risk.level == "high"

    def test_what_needs_sound_or_times_is_null_with_a_reason(self) -> None:
        analysis = judged(received())
        needs = OF_SOUND | OF_OVERLAPS | OF_TIMES
        assert {name: analysis.measures[name] for name in needs} == dict.fromkeys(needs)
        why = reasons(analysis)
        assert {why[name] for name in OF_OVERLAPS | OF_TIMES} == {"no_times"}
        assert {why[name] for name in OF_SOUND} == {"duration_unknown", "no_sound", "no_emotion"}

    def test_without_times_the_first_seconds_are_those_of_usual_speech(self) -> None:
        notice: Line = ("agent", "您好，本次通话将会录音，请问有什么可以帮您？")
        long_before: Line = ("customer", "我先把前面的事情从头到尾再讲一遍。" * 16)
        answer: Line = ("agent", "好的，我帮您查一下。")
        calls = ([notice, ("customer", "查订单。")], [long_before, notice], [long_before, answer])
        early, late, never = (judged(received(*lines)) for lines in calls)
        assert early.measures["recording_notice"] is early.measures["greeting"] is True
        assert late.measures["recording_notice"] is late.measures["greeting"] is False
        assert never.measures["recording_notice"] is never.measures["greeting"] is False

    def test_a_rule_that_counts_seconds_between_two_things_is_not_asked_without_times(self) -> None:
        lines: tuple[Line, ...] = (("agent", "请稍等，我查一下。"), ("agent", "让您久等了。"), ("customer", "好的。"))
        timed: list[TimedLine] = [(role, text, 5_000 * at, 5_000 * at + 4_000) for at, (role, text) in enumerate(lines)]
        untimed, told = judged(received(*lines)), judged(received(*timed))
        waiting = [name for name, reason in reasons(untimed).items() if reason == "no_times"]
        assert set(waiting) > OF_TIMES
        assert not {"no_times"} & set(reasons(told).values())

    def test_what_telephony_tells_holds_without_times_too(self) -> None:
        analysis = judged(received(call={"recording_notice_played": True}))
        assert analysis.measures["recording_notice"] is True

    def test_with_times_pauses_and_pace_are_measured(self) -> None:
        analysis = judged(received(*TIMED))
        unmeasured = {name for name in OF_TIMES if analysis.measures[name] is None}
        assert {reasons(analysis)[name] for name in unmeasured} == {"no_responses"}, "the agent answered too early"
        assert analysis.measures["longest_silence_ms"] == 5_000
        assert analysis.measures["excused_silences"] == 1

    def test_interruptions_are_measured_only_where_each_side_had_a_channel(self) -> None:
        mixed, apart = judged(received(*TIMED)), judged(received(*TIMED, separate_channels=True))
        assert {reasons(mixed)[name] for name in OF_OVERLAPS} == {"one_channel"}
        assert apart.measures["overlap_ms"] == 1_000
        assert apart.measures["agent_interruptions"] == 1

    def test_without_roles_nothing_is_held_against_the_agent(self) -> None:
        analysis = judged(received(*(("unknown", text) for _, text in LINES)))
        assert reasons(analysis)["sensitive_words"] == "speaker_unknown"
