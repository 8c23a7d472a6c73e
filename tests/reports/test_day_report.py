"""What a day brought, from its events: sums, outages, midnight, crashes, clocks that change."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from told_day import (
    BEGIN,
    DAY,
    HOUR,
    SECOND,
    a_day,
    device,
    heard,
    online,
    page,
    started,
    stopped,
    talks,
    told,
)

from echostream.notices.notice import Notice
from echostream.reports.day import MOST_CHANNELS, MOST_DEVICES, MOST_PAGES, DayBuilder, Subject
from echostream.reports.model import ChannelDay, DayReport, DeviceDay, Recorded
from echostream.reports.spans import MOST_SPANS, Signal, Span, longest_gaps_kept, merged

NAMES = {"fire": "Fire", "ems": "EMS"}


def subject(now_s: float = 30 * 3600) -> Subject:
    now_us = BEGIN + round(now_s * SECOND)
    return Subject(
        "station-4", "2026-11-20", BEGIN, BEGIN + DAY, now_us, NAMES, {"porch": "", "yard": "Yard"}
    )


def report(events: Iterable[Notice], before: Iterable[Notice] = (), now_s: float = 30 * 3600) -> DayReport:
    builder = DayBuilder(subject(now_s))
    for one in before:
        builder.before(one)
    for one in events:
        builder.take(one)
    return builder.finished(None)


def channel(made: DayReport, channel_id: str) -> ChannelDay:
    return next(one for one in made.channels if one.channel_id == channel_id)


def microphone(made: DayReport, name: str) -> DeviceDay:
    return next(one for one in made.devices if one.name == name)


def test_a_whole_day_adds_up() -> None:
    made = report(a_day())
    assert (made.ran_s, made.starts, made.crashes, made.length_s) == (18_000, 1, 0, 86_400)
    fire, ems = channel(made, "fire"), channel(made, "ems")
    assert (fire.name, fire.pages, fire.transmissions, fire.talk_s) == ("Fire", 1, 1, 30)
    assert (fire.overs, fire.heard_s) == (2, 20)  # two at the same time are not twice as long
    assert (fire.up_s, fire.outages) == (21_600 - 3602, 0)
    assert (ems.up_s, ems.outages) == (21_600 - 3602 - 600, 1)
    assert (ems.card_away_s, ems.card_outages) == (360, 1)
    porch = microphone(made, "porch")
    assert (porch.label, porch.up_s, porch.outages, porch.connections) == ("Porch", 21_600 - 3605 - 600, 1, 2)
    assert {one.name: (one.up_s, one.outages) for one in made.links} == {
        "server": (21_600 - 3601, 0),
        "mqtt": (21_600 - 3606, 0),
    }
    assert (made.uploaded.recordings, made.uploaded.bytes, made.uploaded.at_risk) == (1, 5_000_000, 1)
    (rule,) = made.alerts
    assert (rule.rule, rule.on, rule.raised, rule.recovered, rule.undelivered) == (
        *("disk nearly full", "disk"),
        *(1, 1, 0),
    )
    assert (made.acts.admin, made.acts.commands, made.acts.commands_refused) == (1, 1, 1)
    assert made.worker_failures == 1
    assert [one.tone_id for one in made.pages] == ["engine-7"]


def test_what_has_an_entry_is_told_of_also_when_it_was_never_there() -> None:
    made = report([started(0)])
    assert [one.channel_id for one in made.channels] == ["fire", "ems"]
    assert [(one.name, one.label, one.up_s) for one in made.devices] == [
        ("porch", "", 0),
        ("yard", "Yard", 0),
    ]


def test_what_began_before_midnight_goes_on_in_the_new_day() -> None:
    before = [started(-7200), online(-7000, "fire"), talks(-30, "fire", True), device(-100, "yard", True)]
    made = report([talks(60, "fire", False)], before)
    fire = channel(made, "fire")
    assert (fire.talk_s, fire.transmissions) == (60, 0)  # it was counted on the day on which it began
    assert (fire.up_s, made.ran_s, made.starts) == (86_400, 86_400, 0)
    assert microphone(made, "yard").up_s == 86_400


def test_what_goes_on_beyond_midnight_is_cut_there_and_is_no_outage() -> None:
    made = report([started(0), online(10, "fire"), talks(86_390, "fire", True)])
    fire = channel(made, "fire")
    assert (fire.talk_s, fire.transmissions, fire.up_s, fire.outages) == (10, 1, 86_390, 0)


def test_a_day_that_is_not_over_counts_up_to_now() -> None:
    made = report([started(0), online(0, "fire")], now_s=3600)
    assert (made.length_s, made.ran_s, channel(made, "fire").up_s) == (3600, 3600, 3600)


def test_a_day_to_come_is_empty() -> None:
    made = report([], now_s=-3600)
    assert (made.length_s, made.ran_s, made.events) == (0, 0, 0)


def test_a_killed_gateway_did_not_run_until_it_was_started_again() -> None:
    """The last thing it said was a page at 2 h; it starts again at 5 h and had not stopped."""
    events = [started(0), online(1, "fire"), talks(7100, "fire", True), page(7200, "fire")]
    made = report([*events, started(18_000), online(18_001, "fire"), stopped(21_600)])
    fire = channel(made, "fire")
    assert (made.crashes, made.starts) == (1, 2)
    assert made.ran_s == 7200 + 3600
    assert fire.up_s == 7199 + 3599
    assert fire.talk_s == 100
    assert fire.outages == 0  # the gateway's, not the channel's


def test_what_goes_as_the_gateway_stops_is_no_outage() -> None:
    """Microphones, channels, the server, half a minute of recordings, and then the last word."""
    going = [
        device(7200, "porch", False),
        online(7201, "fire", False),
        told("server", 7202, connected=False, detail="left"),
    ]
    before = [started(0), told("server", 1, connected=True), online(2, "fire"), device(3, "porch", True)]
    flap = [online(3600, "fire", False), online(3610, "fire")]
    made = report([*before, *flap, *going, stopped(7232), started(7300), online(7301, "fire")])
    assert channel(made, "fire").outages == 1
    assert microphone(made, "porch").outages == 0
    assert [one.outages for one in made.links] == [0]


def test_a_crash_before_midnight_that_is_noticed_after_it() -> None:
    made = report([started(3600)], before=[started(-9000), online(-9000, "fire"), page(-8000, "fire")])
    assert (made.crashes, made.ran_s) == (0, 82_800)  # it is one of the day before
    assert channel(made, "fire").up_s == 0
    assert channel(made, "fire").outages == 0


def test_a_log_that_has_lost_its_start_still_shows_that_the_gateway_ran() -> None:
    made = report([online(3600, "fire"), stopped(7200)])
    assert (made.ran_s, channel(made, "fire").up_s) == (3600, 3600)


def test_an_act_on_the_command_line_does_not_make_a_gateway_run() -> None:
    made = report([told("admin", 100, act="note"), alert_acknowledged(200)])
    assert made.ran_s == 0


def alert_acknowledged(at_s: float) -> Notice:
    return told("alert", at_s, subject="r", rule="r", on="page", state="acknowledged")


def test_a_clock_that_steps_back_within_the_day_makes_nothing_negative() -> None:
    events = [started(7200), online(7210, "fire"), talks(7300, "fire", True), talks(3700, "fire", False)]
    made = report([*events, page(3800, "fire"), online(3900, "fire", False), stopped(4000)])
    fire = channel(made, "fire")
    assert (fire.talk_s, fire.up_s, made.ran_s) == (0, 0, 0)
    assert fire.pages == 1


def test_hours_that_a_clock_comes_by_twice_count_once() -> None:
    """It ran from 1 h to 5 h, was set back to 2 h, and ran until 6 h."""
    events = [started(3600), online(3600, "fire"), stopped(18_000)]
    made = report([*events, started(7200), online(7200, "fire"), stopped(21_600)])
    assert (made.ran_s, channel(made, "fire").up_s) == (18_000, 18_000)


def test_strangers_under_ever_new_names_do_not_fill_it() -> None:
    events = [device(at, f"stranger-{at}", True, known=False) for at in range(MOST_DEVICES + 500)]
    made = report([started(0), *events, told("device", 3000, more=40, known=False)])
    assert len(made.devices) == MOST_DEVICES
    assert made.strangers == 502 + 40  # two places are those of the microphones with an entry


def test_channels_that_a_server_makes_up_do_not_fill_it() -> None:
    events = [heard(at, f"c{at}", "x", True) for at in range(1000)]
    made = report([started(0), *events])
    assert len(made.channels) == MOST_CHANNELS + 1
    assert made.channels[-1].channel_id == "(others)"


def test_a_storm_of_pages_is_counted_whole_and_listed_in_part() -> None:
    made = report([started(0), *(page(at * 10, "fire") for at in range(5000))])
    assert (made.pages_heard, len(made.pages), sum(made.pages_by_hour)) == (5000, MOST_PAGES, 5000)
    assert made.pages_by_hour[0] == 360


def test_a_flapping_link_is_summed_whole_and_pictured_in_part() -> None:
    signal = Signal(BEGIN, BEGIN + DAY)
    for at in range(20_000):
        signal.set(not at % 2, BEGIN + at * SECOND)
    signal.finish(BEGIN + DAY)
    assert (signal.total_us, signal.began, signal.ended) == (10_000 * SECOND, 10_000, 10_000)
    assert len(signal.spans) == MOST_SPANS
    assert sum(signal.by_hour) == pytest.approx(10_000)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 100)), max_size=30), st.integers(1, 200))
def test_merged_spans_are_apart_and_cover_the_same(parts: list[tuple[int, int]], apart: int) -> None:
    spans = [Span(begin, begin + length) for begin, length in parts]
    found = merged(spans, apart)
    assert all(after.begin_us - before.end_us >= apart for before, after in pairwise(found))
    assert all(
        any(one.begin_us <= span.begin_us and span.end_us <= one.end_us for one in found) for span in spans
    )
    assert {one.begin_us for one in found} <= {span.begin_us for span in spans}
    fewer = longest_gaps_kept(found, 5)
    assert len(fewer) == min(5, len(found))
    assert not found or (fewer[0].begin_us, fewer[-1].end_us) == (found[0].begin_us, found[-1].end_us)


def test_talk_is_shared_out_over_the_hours_it_lasted() -> None:
    made = report([started(0), talks(3000, "fire", True), talks(8000, "fire", False)])
    assert channel(made, "fire").talk_by_hour[:4] == (600, 3600, 800, 0)


def test_the_index_is_put_beside_the_events() -> None:
    builder = DayBuilder(subject())
    facts = {
        ("channel", "fire"): Recorded(3, 100.0, 5, 1, 2.0),
        ("device", "yard"): Recorded(24),
        ("network", "fire"): Recorded(99),
    }
    made = builder.finished(facts)
    assert channel(made, "fire").recorded == Recorded(3, 100.0, 5, 1, 2.0)
    assert channel(made, "ems").recorded is None
    assert microphone(made, "yard").recorded == Recorded(24)
    assert made.recordings_known


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(-2 * DAY, 3 * DAY)), max_size=30))
def test_any_history_of_a_signal_stays_within_the_day(changes: list[tuple[bool, int]]) -> None:
    signal = Signal(BEGIN, BEGIN + DAY)
    for on, at in changes:
        signal.set(on, BEGIN + at)
    signal.finish(BEGIN + DAY)
    assert all(BEGIN <= span.begin_us < span.end_us <= BEGIN + DAY for span in signal.spans)
    assert all(one.end_us <= two.begin_us for one, two in pairwise(signal.spans))
    assert signal.total_us == sum(span.length_us for span in signal.spans)
    assert sum(signal.by_hour) == pytest.approx(signal.total_us / SECOND)
    assert 0 <= signal.began <= len(changes)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                ["gateway", "channel", "transmission", "talker", "card", "server", "device", "link"]
            ),
            st.integers(-DAY, 2 * DAY),
            st.sampled_from(["fire", "ems", ""]),
            st.dictionaries(
                st.sampled_from(["state", "online", "active", "present", "connected", "up", "link", "known"]),
                st.one_of(st.booleans(), st.sampled_from(["started", "stopped", "a"]), st.none()),
            ),
        ),
        max_size=25,
    )
)
def test_any_log_gives_a_report_that_adds_up(events: list[tuple[str, int, str, dict[str, object]]]) -> None:
    made = report(
        Notice(kind, BEGIN + at, "", name, name, data=data)  # type: ignore[arg-type]
        for kind, at, name, data in events
    )
    assert 0 <= made.ran_s <= 86_400
    for one in made.channels:
        assert 0 <= one.up_s <= 86_400
        assert one.outages >= 0
    ups = [(one.up_s, one.outages) for one in made.devices] + [(one.up_s, one.outages) for one in made.links]
    assert all(0 <= up_s <= 86_400 and outages >= 0 for up_s, outages in ups)


def test_an_hour_is_missing_or_twice_where_the_clocks_change() -> None:
    for hours in (23, 25):
        builder = DayBuilder(Subject("g", "2026-03-29", BEGIN, BEGIN + hours * HOUR, BEGIN + 2 * DAY))
        builder.take(started(0))
        made = builder.finished(None)
        assert (made.hours, made.ran_s) == (hours, hours * 3600)
        assert len(made.pages_by_hour) == hours
