"""EchoStream: a gateway that puts radios and microphones on encrypted voice channels."""

__version__ = "0.1.0"
