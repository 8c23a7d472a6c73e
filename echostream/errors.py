"""Every error EchoStream raises on purpose.

EchoStreamError
├── ConfigError (ValueError)            a configuration that does not hold; carries all findings
│   └── SecretError                     a secret that is named but cannot be read
├── AudioError
│   ├── DeviceLost (OSError)            the card went away or stopped moving
│   ├── DeviceMissing (LookupError)     no card of that name is present
│   ├── SourceClosed                    read() or write() after close()
│   └── CodecError (ValueError)         Opus refused a packet or a setting
├── GpioError (OSError)                 chip, line or permission
├── WireError (ValueError)              bytes or JSON from outside that do not parse
│   └── DecryptError                    authentication failed: wrong key or tampered
├── ArchiveError
│   ├── BrokenFile (ValueError)         a file of the archive that is damaged, or is none of it
│   ├── IndexUnavailable (OSError)      the index of recordings cannot be opened, read or written
│   │   └── IndexCorrupt                its SQLite file is damaged
│   └── RecordingKept                   a recording that may not be deleted: protected, or still being written
├── SpoolUnavailable (OSError)          what waits to be delivered cannot be kept on the disk
├── EventLogError                       there is no event log, or it cannot be read
├── LibraryMissing (ImportError)        a shared library is not installed; names the package
└── StateError (RuntimeError)           our own code called something in the wrong order
"""


class EchoStreamError(Exception):
    """Root of the tree."""


class ConfigError(EchoStreamError, ValueError):
    """A configuration that does not hold."""


class SecretError(ConfigError):
    """A secret that is named in the configuration but cannot be read."""


class AudioError(EchoStreamError):
    """Anything that goes wrong between a card and a frame."""


class DeviceLost(AudioError, OSError):
    """The card went away or stopped moving frames; reopening may bring it back."""


class DeviceMissing(AudioError, LookupError):
    """No card of that name is present now."""


class SourceClosed(AudioError):
    """A read or write on something that was closed."""


class CodecError(AudioError, ValueError):
    """Opus refused a packet or a setting."""


class GpioError(EchoStreamError, OSError):
    """A chip, line or permission that is not there."""


class WireError(EchoStreamError, ValueError):
    """Bytes or JSON from outside that do not parse. The message names the place."""


class DecryptError(WireError):
    """Authentication failed: wrong key, or the packet was tampered with."""


class ArchiveError(EchoStreamError):
    """Anything that goes wrong with recordings and their index."""


class BrokenFile(ArchiveError, ValueError):
    """A file of the archive that is damaged, or is none of it. The message names the file and the place."""


class IndexUnavailable(ArchiveError, OSError):
    """The index of recordings cannot be opened, read or written. The message has the place and the remedy."""


class IndexCorrupt(IndexUnavailable):
    """The index's SQLite file is damaged: it is moved aside and made anew from the recordings' own files."""


class RecordingKept(ArchiveError):
    """A recording that may not be deleted: it is protected, or still being written."""


class SpoolUnavailable(EchoStreamError, OSError):
    """What waits to be delivered cannot be kept on the disk. The message has the place and the remedy."""


class EventLogError(EchoStreamError):
    """There is no event log, or it cannot be read. The message has the place and the remedy."""


class LibraryMissing(EchoStreamError, ImportError):
    """A shared library is not installed. The message names the package to install."""


class StateError(EchoStreamError, RuntimeError):
    """Our own code called something in the wrong order. Always a bug of ours."""
