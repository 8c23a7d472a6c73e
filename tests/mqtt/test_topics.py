"""Topics that a broker takes, whatever a gateway, a channel or a device is called."""

from __future__ import annotations

from config_documents import small
from hypothesis import given
from hypothesis import strategies as st

from echostream.config.load import parse_config
from echostream.mqtt.topics import Topics, level, name_of

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128)


def topics(gateway: str = "g", **mqtt: object) -> Topics:
    document = small(gateway={"id": gateway, "affiliation_id": "g"}, mqtt=mqtt)
    return Topics(parse_config(document, "test").config)


@given(NAMES)
def test_a_name_is_one_level_and_comes_back(name: str) -> None:
    assert not set(level(name)) & set("/+#\x00")
    assert name_of(level(name)) == name


@given(NAMES, NAMES)
def test_two_names_are_two_levels(one: str, other: str) -> None:
    assert (level(one) == level(other)) == (one == other)


@given(NAMES, st.sampled_from(["page_out", "volume", "mute", "record"]))
def test_a_command_of_a_channel_is_understood(channel: str, name: str) -> None:
    assert topics().asked(topics().command(name, channel)) == (name, channel)


@given(st.text(max_size=60))
def test_other_topics_are_no_commands(topic: str) -> None:
    assert topics().asked(topic) is None


def test_answers_and_other_gateways_are_no_commands() -> None:
    of = topics("g")
    for topic in (
        of.answer("reload"),
        of.answer("volume", "a"),
        topics("h").command("reload"),
        "command/reload",
        "echostream/g/channel/a/x/volume",
        "echostream/g/x/a/command/volume",
        "echostream/g",
    ):
        assert of.asked(topic) is None, topic


def test_tone_detections_are_where_subscribers_have_them() -> None:
    assert topics("station-7").tone_detection == "from/device/station-7/tone_detection"
    assert topics("county/7").tone_detection == "from/device/county/7/tone_detection"
    assert topics("a+b#c").tone_detection == "from/device/a%2Bb%23c/tone_detection"


def test_everything_else_is_below_prefix_and_gateway() -> None:
    of = topics("county/7", topic_prefix="site/radio/")
    assert of.root == "site/radio/county%2F7"
    for topic in (
        *(of.status, of.info, of.health, of.links, of.channel("a", "state"), of.device("porch", "state")),
        *(of.event("page", "a"), of.event("link"), of.event("device", device="porch"), of.command("reload")),
        of.commands_of_channels("volume"),
    ):
        assert topic.startswith("site/radio/county%2F7/"), topic


def test_aws_takes_them() -> None:
    """At most seven slashes, and 256 bytes with names of common length."""
    of = topics("g" * 64)
    longest = max(of.answer("page_out", "c" * 64), of.event("passthrough", "c" * 64), key=len)
    assert longest.count("/") <= 7
    assert len(longest.encode()) <= 256
