"""TLS towards a broker: what is trusted, who we are, and what a refused certificate means."""

from __future__ import annotations

import ssl
from typing import Final

from echostream.config.mqtt_models import Mqtt, MqttTls
from echostream.errors import ConfigError

# X509_V_ERR_* of openssl/x509_vfy.h.
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
UNKNOWN_AUTHORITY: Final = (2, 18, 19, 20, 21, 27)
WRONG_NAME: Final = (62, 64)

HUNG_UP: Final = "the broker hung up within TLS: wrong mqtt.port, or mqtt.tls must be null"
_ALERTS: Final = (
    (
        "CERTIFICATE_REQUIRED",
        "the broker wants a certificate of the gateway: set mqtt.tls.cert_file",
    ),
    (
        "HANDSHAKE_FAILURE",
        "no common TLS; the broker may want a certificate of the gateway (cert_file)",
    ),
    ("CERTIFICATE_EXPIRED", "the gateway's own certificate (mqtt.tls.cert_file) has expired: get a new one"),
    ("CERTIFICATE_REVOKED", "the gateway's own certificate (mqtt.tls.cert_file) was revoked: get a new one"),
    ("UNKNOWN_CA", "the broker does not know who issued mqtt.tls.cert_file"),
    ("BAD_CERTIFICATE", "the broker refuses the gateway's certificate (mqtt.tls.cert_file)"),
    (
        "NO_APPLICATION_PROTOCOL",
        "the broker does not know mqtt.tls.alpn: leave it out, or use another port",
    ),
    ("WRONG_VERSION_NUMBER", "no TLS on that port: wrong mqtt.port, or mqtt.tls must be null"),
    ("DECRYPT_ERROR", "the broker cannot verify the gateway's certificate (mqtt.tls.cert_file)"),
    ("EOF", HUNG_UP),
    ("RECORD_LAYER_FAILURE", "no TLS on that port: wrong mqtt.port, or mqtt.tls must be null"),
)


def build_context(tls: MqttTls) -> ssl.SSLContext:
    """A client context that verifies chain and name. Raises ConfigError with the place and the remedy."""
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"mqtt.tls.ca_file: {tls.ca_file!r} holds no certificate that can be read ({_short(error)}); "
            "expected a PEM file"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if tls.ca_file:
        # As in network/tls.py: authorities made by hand often lack what Python 3.13 began to demand.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.cert_file and tls.key_file:
        try:
            # A password would be asked for at the terminal, where nobody is.
            context.load_cert_chain(tls.cert_file, tls.key_file, password="")
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"mqtt.tls.cert_file {tls.cert_file!r}, key_file {tls.key_file!r}: {_short(error)}; expected "
                "two PEM files that can be read, a certificate and its key without a password"
            ) from error
    if tls.alpn:
        context.set_alpn_protocols([tls.alpn])
    return context


def words(error: BaseException, mqtt: Mqtt) -> str:
    """What went wrong within TLS, and what helps."""
    name = (mqtt.tls.server_name if mqtt.tls else None) or mqtt.host
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code == EXPIRED:
            return "the broker's certificate has expired: renew it there, or set this machine's clock"
        if code == NOT_YET_VALID:
            return "the broker's certificate is not valid yet: set this machine's clock"
        if code in UNKNOWN_AUTHORITY:
            return (
                "the broker's certificate is of an unknown authority: name its PEM file in mqtt.tls.ca_file"
            )
        if code in WRONG_NAME:
            return f"the broker's certificate is not for {name}: set mqtt.host or mqtt.tls.server_name"
        return f"the broker's certificate is refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).upper().replace(" ", "_")
        for sign, meaning in _ALERTS:
            if sign in reason:
                return meaning
        return f"TLS failed: {_short(error)}"
    return _short(error)


def _short(error: BaseException) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or str(error)
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return str(error) or type(error).__name__
