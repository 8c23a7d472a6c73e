"""The configuration as frozen models. Field docstrings become docs/configuration.md and the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from echostream.audio.format import FRAME_MS_CHOICES

BcmPin = Annotated[int, Field(ge=0, le=53)]
Hertz = Annotated[float, Field(gt=0, le=24_000)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
FrameMs = Literal[10, 20, 40, 60]
assert FRAME_MS_CHOICES == (10, 20, 40, 60)


class Section(BaseModel):
    """Common behaviour: frozen, unknown keys are errors, docstrings are the documentation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Secret(Section):
    """Where a secret is read from, exactly one of the three; the secret itself never stands here."""

    file: str | None = None
    """Path of a file that holds the secret."""
    env: str | None = None
    """Name of an environment variable that holds the secret."""
    credential: str | None = None
    """Name of a systemd credential (a file below $CREDENTIALS_DIRECTORY)."""


class Gateway(Section):
    """Who this gateway is to the control server and to subscribers."""

    id: Name
    """Unique id of this gateway (`unique_id` of the field's devices)."""
    affiliation_id: Name
    """The id under which the control server knows this member."""
    user_name: Name = "EchoStream"
    """The name that other members see."""
    agency_name: str = ""
    """The agency that other members see."""


class Tls(Section):
    """How a wss:// server is verified. With nothing set: the system's certificate authorities."""

    ca_file: str | None = None
    """PEM file of the authorities to trust instead of the system's."""
    fingerprint_sha256: str | None = None
    """SHA-256 of the server's certificate (64 hex digits, colons allowed): any other is refused."""
    server_name: str | None = None
    """Name to verify instead of the URL's host."""


class ControlServer(Section):
    """The WebSocket control server."""

    url: Annotated[str, Field(pattern=r"^wss?://.+")]
    """ws:// or wss:// address."""
    protocol: Literal["v1"] = "v1"
    """Version of the protocol that the server speaks."""
    aes_key: Secret | None = None
    """Pre-shared key (base64 of 32 bytes), used while the server offers "N/A"."""
    token: Secret | None = None
    """Access token of deployments that ask for one."""
    token_header: str | None = None
    """Header that carries the token, e.g. Authorization; the value is sent as it is."""
    token_query: str | None = None
    """URL query key that carries the token."""
    tls: Tls = Tls()
    keep_alive_s: Annotated[float, Field(gt=0, le=25)] = 10.0
    """Period of `connect` per channel and of the UDP heartbeat; the server drops a client after 30 s."""
    ping_s: Annotated[float, Field(gt=0, le=300)] = 20.0
    """Period of the WebSocket ping; without a pong for as long the connection is dead."""
    reconnect_min_s: Annotated[float, Field(gt=0, le=60)] = 1.0
    """First back-off after a server that answered and then failed; doubles each time, with full jitter."""
    reconnect_max_s: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """Longest back-off."""
    probe_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Longest wait between knocks on a server that does not answer at all."""


class Ptt(Section):
    """The push-to-talk button."""

    pin: BcmPin
    """BCM number of the GPIO line."""
    active_low: bool = True
    """A pressed button pulls the line to ground."""
    pull: Literal["up", "down", "none"] = "up"
    """Bias resistor."""


class Cos(Section):
    """Carrier-operated squelch: the radio says that it receives. A pin, or the card's own HID line."""

    pin: BcmPin | None = None
    """BCM number of the GPIO line."""
    cm108: bool = False
    """Read the volume-down line of a CM108-type card instead of a pin."""
    active_low: bool = True
    """The radio pulls the line to ground while it receives."""
    pull: Literal["up", "down", "none"] = "up"
    """Bias resistor."""


class Key(Section):
    """PTT out: keys the radio while network audio plays. A pin, or the card's own HID line."""

    pin: BcmPin | None = None
    """BCM number of the GPIO line."""
    cm108: bool = False
    """Drive GPIO3 of a CM108-type card instead of a pin."""
    active_low: bool = False
    """The line is driven low to key."""
    lead_in_ms: Annotated[int, Field(ge=0, le=2000)] = 100
    """Time between keying and the first audio: what the transmitter takes to come up."""
    hang_ms: Annotated[int, Field(ge=0, le=5000)] = 300
    """The line stays keyed for this long after the last audio."""
    courtesy_tone: bool = False
    """A short beep before the line drops."""


class Vox(Section):
    """Voice-operated valve."""

    enabled: bool = False
    threshold_dbfs: Annotated[float, Field(ge=-90, le=0)] = -40.0
    """RMS level that opens it, after input gain."""
    attack_ms: Annotated[int, Field(ge=0, le=1000)] = 40
    """The level must hold for this long."""
    hang_ms: Annotated[int, Field(ge=0, le=10_000)] = 800
    """It stays open for this long below the threshold."""


class Channel(Section):
    """One voice channel: a card, its lines, and where it goes."""

    id: Name
    """The control server's channel id."""
    name: str = ""
    """What people call it."""
    enabled: bool = True
    card: Name
    """ALSA id ("Device", "alsa:Device"), USB port path ("usb:1-1.2") or an ALSA PCM name; never an index."""
    side: Literal["mono", "left", "right"] = "mono"
    """Which half of a stereo card: two channels can share one."""
    duplex: Literal["half", "full"] = "half"
    """half: nothing is played while this channel transmits."""
    input_gain_db: Annotated[float, Field(ge=-60, le=60)] = 0.0
    output_gain_db: Annotated[float, Field(ge=-60, le=60)] = 0.0
    high_pass_hz: Annotated[float, Field(ge=0, le=1000)] = 80.0
    """Corner of the input high-pass (second-order Butterworth); 0 switches it off."""
    de_emphasis: bool = False
    """Undo the transmitter's pre-emphasis on the input (discriminator audio), 6 dB per octave."""
    pre_emphasis: bool = False
    """Raise the treble of the output by 6 dB per octave (direct modulation input)."""
    ptt: Ptt | None = None
    cos: Cos | None = None
    vox: Vox = Vox()
    key: Key | None = None
    tot_s: Annotated[float, Field(gt=0, le=3600)] = 180.0
    """Time-out timer: a transmission ends after this and stays latched until everything is released."""
    pre_roll_ms: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Overrides audio.pre_roll_ms for this channel."""


class Audio(Section):
    """What holds for the audio of every channel."""

    frame_ms: FrameMs = 20
    """Length of a captured and played frame. Packets are as long, but at least 20 ms."""
    bitrate_bps: Annotated[int, Field(ge=6_000, le=510_000)] = 24_000
    complexity: Annotated[int, Field(ge=0, le=10)] = 5
    """Opus complexity: CPU against quality."""
    fec: bool = True
    """In-band forward error correction."""
    dtx: bool = False
    """Discontinuous transmission: send next to nothing in pauses."""
    expected_loss_percent: Annotated[int, Field(ge=0, le=100)] = 10
    """What the encoder's FEC prepares for."""
    pre_roll_ms: Annotated[int, Field(ge=0, le=1000)] = 200
    """Audio from before the key-up that is sent with it: the first syllable."""
    jitter_min_ms: Annotated[int, Field(ge=20, le=500)] = 20
    """Least depth of the jitter buffer."""
    jitter_max_ms: Annotated[int, Field(ge=20, le=1000)] = 320
    """Greatest depth of the jitter buffer."""


class Gpio(Section):
    """GPIO of the board."""

    chip: str = "auto"
    """auto finds the header's chip by its label (also on a Pi 5); else a label or /dev/gpiochipN."""
    debounce_ms: Annotated[int, Field(ge=0, le=500)] = 20
    """After an edge, further ones are ignored for this long; then the level is read again."""
    reread_ms: Annotated[int, Field(ge=50, le=5000)] = 250
    """Period of the slow re-read that catches a missed edge."""


class AlertTone(Section):
    """One two-tone page to listen for."""

    tone_id: Name
    tone_a_hz: Hertz
    tone_b_hz: Hertz
    tone_a_length_s: Annotated[float, Field(gt=0, le=60)] = 0.8
    """Least length of tone A."""
    tone_b_length_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    """Least length of tone B."""
    tone_a_range_hz: Annotated[float, Field(gt=0, le=200)] = 10.0
    tone_b_range_hz: Annotated[float, Field(gt=0, le=200)] = 10.0
    record_length_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """How long to record and pass through after the page."""
    alert: str = ""
    """Name of the alert (`detection_tone_alert`)."""


class ToneFilter(Section):
    """One continuous filter in front of the detector."""

    filter_id: str = ""
    type: Literal["below", "above", "center"]
    """below/above remove what lies below/above the frequency; center removes frequency ± range."""
    frequency_hz: Hertz
    range_hz: Annotated[float, Field(ge=0, le=5000)] = 0.0


class TonePlan(Section):
    """What one channel listens for."""

    detect: bool = True
    passthrough: bool = False
    passthrough_channel: str | None = None
    """Id of the channel that a page is passed through to."""
    alert_tones: tuple[AlertTone, ...] = ()
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.7
    gain: Annotated[float, Field(ge=0, le=100)] = 0.4
    level_db: Annotated[float, Field(ge=-120, le=0)] = -45.0
    detect_new_tones: bool = False
    new_tone_length_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    new_tone_range_hz: Annotated[float, Field(gt=0, le=200)] = 10.0
    filters: tuple[ToneFilter, ...] = ()


class Esp32(Section):
    """ESP32 microphones over TCP."""

    enabled: bool = False
    tcp_port: Annotated[int, Field(ge=1, le=65535)] = 9000


class Mqtt(Section):
    """Events to MQTT subscribers."""

    enabled: bool = False
    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 8883
    username: str | None = None
    password: Secret | None = None


class S3(Section):
    """Recordings to an S3 bucket."""

    enabled: bool = False
    bucket: str = ""
    region: str | None = None
    endpoint_url: str | None = None
    access_key_id: Secret | None = None
    secret_access_key: Secret | None = None


class Recording(Section):
    """The recorder."""

    enabled: bool = False
    directory: str = "/var/lib/echostream/recordings"


class Config(Section):
    """The whole configuration of one gateway."""

    gateway: Gateway
    control_server: ControlServer
    channels: tuple[Channel, ...]
    audio: Audio = Audio()
    gpio: Gpio = Gpio()
    tones: dict[str, TonePlan] = {}
    """Tone plan of a channel, by channel id."""
    esp32: Esp32 = Esp32()
    mqtt: Mqtt = Mqtt()
    s3: S3 = S3()
    recording: Recording = Recording()
