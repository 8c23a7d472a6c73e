"""What `echostream recordings ... --help` says below its options."""

from __future__ import annotations

from typing import Final

WHICH: Final = """\
which recordings:
  WHAT    a source (porch, ems for its radio, ems.net for what others say there, quarantine.NAME), a pattern
          ('esp32-*'), an id or its first digits, or a file; nothing: all
  TIME    today, yesterday, "yesterday 18:00", 12:00, 2026-11-21, "2026-11-21 12:00:30", 2026-11-21T12:00Z,
          -2h or 90m (ago), now, @1763726400 (Unix seconds). Times are local, UTC with --utc.
          --from a day is its beginning, --to a day its end.
"""

RECORDINGS: Final = """\
examples:
  echostream recordings list --from today                       what was recorded
  echostream recordings show 7c1e99d0 --plot call.png           one of them, and its picture
  echostream recordings export porch --from 12:00 --for 1h -o noon.flac
  echostream recordings export --tone engine-7 --from 2026-11-01 -o engine-7.zip
  echostream recordings play fire-dispatch --from -1h           hear the last hour, without the pauses
  echostream recordings verify                                  is everything there, and whole?
  echostream recordings stats                                   how much, of whom, for how long it will fit

All of them work while the gateway runs and when it does not. Where the recordings are: --directory, or
--config, or ./config.json, or /etc/echostream/config.json.

exit codes: 0 done, 1 something is wrong with a recording, 2 the call is wrong or nothing goes by that name,
            3 a library is missing
"""

LIST: Final = f"""\
{WHICH}
examples:
  echostream recordings list                                    the newest 50
  echostream recordings list porch --from yesterday --to yesterday
  echostream recordings list --text "elm st*" --kind channel
  echostream recordings list --tone engine-7 --json | jq -r .path
"""

SHOW: Final = """\
examples:
  echostream recordings show 7c1e99d0
  echostream recordings show 2026-11-21_1200_07_porch.flac --plot porch.png
  echostream recordings show porch                              the newest of a source
"""

URL: Final = """\
Whoever has the link can hear the recording as long as it works. The configuration says which bucket it is in.

examples:
  echostream recordings url 7c1e99d0
  echostream recordings url fire-dispatch --hours 2             the newest of a source
"""

EXPORT: Final = f"""\
{WHICH}
OUT says the form: .wav, .flac: one file, each sample at its time, silence where nothing was recorded, one
channel for each source; .zip: the recordings themselves, untouched, with recordings.csv, gaps.csv, tones.csv;
.csv: that table alone; "-": a WAV to standard output.

examples:
  echostream recordings export porch --from 12:00 --for 1h -o noon.flac
  echostream recordings export fire-dispatch --from today --squeeze 2s -o today.flac   without the pauses
  echostream recordings export porch garage --from -30m -o both.wav                    one channel each
  echostream recordings export --from yesterday --to yesterday -o yesterday.zip
  echostream recordings export porch --from -5m -o - | aplay

--join samples (the rule for one source) keeps each recorded sample once: where a device's clock is off by
50 ppm, the end of an hour without a gap is 180 ms off. --join time (the rule for several, which stay beside
each other) begins each recording within 50 ms of its time, and leaves out samples or puts in silence for it.
"""

PLAY: Final = f"""\
{WHICH}
What is of the same time is mixed. `recordings export ... -o -` plays through a pipe instead.

examples:
  echostream recordings play 7c1e99d0
  echostream recordings play fire-dispatch --from today         what was said today, without the pauses
  echostream recordings play porch garage --for 5m --pauses     the last five minutes, as they were
"""

VERIFY: Final = f"""\
{WHICH}
Each file is read whole: its hash, its form, its number of samples; whether what is known of it holds
together; whether time between recordings has a gap that says why; and, without WHAT or a time, whether there
is sound that nobody knows of. Half-written ones that the gateway is writing now are left out.

exit codes: 0 everything holds, 1 something does not
"""

REPAIR: Final = """\
Makes whole what a crash or a power cut left half-written, finds sound whose meta file is lost, makes missing
waveforms, and makes the index say what the files say. The gateway does the first at each start by itself;
what a running one is writing is left alone.

examples:
  echostream recordings repair --dry-run                        what would be done
  echostream recordings repair --index                          make the whole index again of the files
"""

TIDY: Final = """\
Repairs what a crash left half-written, then deletes what is older than recording.keep_days, more than
recording.keep_gb, or in the way of recording.min_free_percent, and days of the event log beyond
events.keep_days and events.keep_mb. What is protected, being written or not uploaded yet stays, as a gateway
has it.

A gateway that runs does all of this by itself. The service's timer calls this for the time in which none
runs; both at once do no harm.

examples:
  echostream recordings tidy
  sudo systemctl start echostream-retention           the same, as the service
"""

PROTECT: Final = f"""\
{WHICH}
A protected recording is kept whatever its age, and whatever the disk says.

examples:
  echostream recordings protect 7c1e99d0 --note "house fire, Elm St"
  echostream recordings protect fire-dispatch --from 12:00 --for 2h
  echostream recordings protect 7c1e99d0 --off
"""

DELETE: Final = f"""\
{WHICH}
What is protected or being recorded stays; --force deletes also what is protected. Without a terminal to ask
on, --yes is needed.

examples:
  echostream recordings delete 7c1e99d0
  echostream recordings delete 'quarantine.*' --to yesterday --yes
"""
