"""What people read, and when: sentences, times of a week, and nothing of an address."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostream.alerts import words
from echostream.alerts.rules import Incident, Saying, State
from echostream.alerts.schedule import held, within
from echostream.alerts.sending import reason, scrubbed
from echostream.config.alert_conditions import LIMITS
from echostream.config.alert_models import Maintenance, Schedule

NOON = datetime(2026, 11, 21, 12, 0)  # a Saturday
AT_US = round(NOON.timestamp() * 1e6)


def saying(on: str = "device_gone", state: State = State.RAISED, **differs: object) -> Saying:
    incident = Incident(17, "porch is dead", on, "porch", AT_US, 0.0, 1.0, 1.0, "Porch, facing the road")
    for name, value in differs.items():
        object.__setattr__(incident, name, value)
    return Saying(state, incident, ("chief",), AT_US, 600.0)


def test_a_message_says_what_since_when_and_how_to_acknowledge() -> None:
    later = NOON + timedelta(minutes=10)
    assert words.title("station-7", [saying()]) == "station-7: porch is dead"
    assert words.body([saying()], later) == (
        "Microphone Porch, facing the road (porch) is gone. Since 12:00:00.\n"
        "Incident 17: echostream alerts ack 17"
    )
    over = saying(state=State.RECOVERED)
    assert words.title("g", [over]) == "g: Over: porch is dead"
    assert words.body([over], later) == "Microphone Porch, facing the road (porch) is back after 10 min"
    tomorrow = NOON + timedelta(days=1)
    assert "2026-11-21 12:00:00, for 10 min" in words.line(saying(state=State.REPEATED), tomorrow)


@pytest.mark.parametrize("on", LIMITS)
@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("value", [0.0, 1.5, 1e9, math.inf])
def test_there_is_a_sentence_for_everything(on: str, state: State, value: float) -> None:
    one = saying(on, state, value=value, acknowledged="anna", detail="why")
    text = words.body([one], NOON)
    assert text.strip()
    assert "inf" not in text.replace("facing", "")
    assert "{" not in text
    assert words.title("g", [one])


@pytest.mark.parametrize(
    ("on", "value", "said"),
    [
        ("disk", 0.0, "The recordings' disk is full: why"),
        ("disk", 20.0, "full in 20.0 h"),
        ("disk", -1.0, "The recordings' disk fails, or does not answer: why"),
        ("clock", math.inf, "The gateway's clock is not synchronised"),
        ("silence", 700.0, "has been silent for 12 min"),
        ("stuck_open", math.inf, "the time-out timer ended its transmission"),
        ("upload_lag", 400_000.0, "Recordings have waited 5 days to be uploaded"),
        ("temperature", 84.6, "The gateway is at 85 °C"),
    ],
)
def test_values_are_told_in_words(on: str, value: float, said: str) -> None:
    assert said in words.line(saying(on, value=value, detail="why"), NOON)


def test_a_long_detail_and_many_sources_still_make_a_short_message() -> None:
    many = [saying(detail="x" * 1000, number=number) for number in range(17, 1017)]
    text = words.body(many, NOON)
    assert len(text) < 7000
    assert "… and 980 others" in text
    assert text.endswith("echostream alerts ack 17-1016")


def week(*days: str, begins: str = "00:00", ends: str = "00:00") -> Schedule:
    document: dict[str, object] = {"begins": begins, "ends": ends}
    return Schedule.model_validate(document | ({"days": days} if days else {}))


@pytest.mark.parametrize(
    ("schedule", "hours", "inside"),
    [
        (week(), 0.0, True),
        (week("sun"), 0.0, False),
        (week("sun"), 12.0, True),
        (week("sat", begins="22:00", ends="06:00"), 9.9, False),
        (week("sat", begins="22:00", ends="06:00"), 10.0, True),
        (week("sat", begins="22:00", ends="06:00"), 17.9, True),
        (week("sat", begins="22:00", ends="06:00"), 18.0, False),
        (week("sun", begins="22:00", ends="06:00"), 14.0, False),
        (week("mon", begins="08:00", ends="08:00"), 24 + 19.9, False),
        (week("mon", begins="08:00", ends="08:00"), 24 + 20.0, True),
        (week("mon", begins="08:00", ends="08:00"), 48 + 19.9, True),
        (week(begins="08:00", ends="18:00"), 5.9, True),
        (week(begins="08:00", ends="18:00"), 6.0, False),
    ],
)
def test_times_of_a_week(schedule: Schedule, hours: float, inside: bool) -> None:
    """hours: after Saturday noon."""
    assert within((schedule,), NOON + timedelta(hours=hours)) is inside
    assert (
        within((week("mon", begins="01:00", ends="01:01"), schedule), NOON + timedelta(hours=hours)) is inside
    )


def test_no_schedule_is_always() -> None:
    assert within((), NOON)


def test_a_window_of_maintenance_knows_zones() -> None:
    window = Maintenance(begins="2026-11-21T10:00+02:00", ends="2026-11-21T09:00:30Z")
    eight = 1_795_248_000_000_000
    for offset_s, inside in ((-1, False), (0, True), (3629, True), (3630, False)):
        assert held((window,), "porch", "", False, eight + offset_s * 1_000_000) is inside


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("Failed to send JSON POST notification: Unauthorized, error=401.", "the user, the password"),
        ("Failed to send: , error=503.", "the service fails (HTTP 503)"),
        ("Failed to send: Too Many, error=429.", "too many messages"),
        ("Socket Exception: ... [Errno 111] Connection refused", "nobody answers there"),
        ("NameResolutionError: Failed to resolve 'x'", "its name cannot be resolved"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "its certificate is not trusted"),
        ("Read timed out. (read timeout=4.0)", "no answer in time"),
        ("(535, b'authentication failed')", "the user or the password is wrong"),
        ("something odd about sesame", "something odd about …"),
    ],
)
def test_why_it_failed_is_told_plainly(line: str, said: str) -> None:
    assert said in reason(["noise", line], "json://hugo:sesame@host/path")
    assert reason([], "json://host") == "it says nothing"


@given(st.text("abcdefgh0123456789", min_size=3, max_size=20), st.text(max_size=30))
def test_no_piece_of_an_address_is_left(secret: str, around: str) -> None:
    url = f"tgram://{secret}/12345678?token={secret}x"
    text = scrubbed(f"{around} {secret} {url} {secret.upper()}", url)
    assert secret not in text.lower().replace(around.lower(), "")
