"""What somebody from elsewhere asks for: to page, another volume, to mute, to record, to reload.

Whoever takes the order decides whether it may be given. Everything here runs on the coordinator's thread,
checks what it is given, does it or says why not, and answers once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from echostream.channels import channel_state as cs
from echostream.channels.channel_runtime import ChannelRuntime
from echostream.channels.page_desk import PageDesk
from echostream.channels.page_orders import ORDER, PageOrders, Refused, Step, number
from echostream.config.explain import did_you_mean
from echostream.coordinator.deadlines import Deadlines
from echostream.events import CommandAsked, CommandDone, Post

log = logging.getLogger(__name__)

LOWEST_DB: Final = -60.0
HIGHEST_DB: Final = 60.0
LONGEST_RECORD_S: Final = 3600.0
RELOAD_S: Final = 60.0
MOST_RELOADS: Final = 16


@dataclass(slots=True)
class _Kept:
    """What was ordered for a channel, for when its settings change. configured_db: its gain until then."""

    gain_db: float | None = None
    configured_db: float = 0.0
    microphone: bool = False
    loudspeaker: bool = False


class Orders:
    """One for all channels. ask_reload: starts a reload, whose end is told by `reload_ended`; None: nobody
    here reads the configuration again."""

    def __init__(
        self,
        channels: Mapping[str, ChannelRuntime],
        step: Step,
        pages: PageDesk,
        deadlines: Deadlines,
        post: Post,
        unix_clock: Callable[[], float],
    ) -> None:
        self._channels = channels
        self._step = step
        self._pages = pages
        self._deadlines = deadlines
        self._post = post
        self._unix_clock = unix_clock
        self.page_orders = PageOrders(channels, step, pages, deadlines, self._done)
        self._kept: dict[str, _Kept] = {}
        self._reloads: list[CommandAsked] = []
        self.ask_reload: Callable[[], None] | None = None

    # ---- events

    def handle(self, asked: CommandAsked, now: float) -> None:
        """One order."""
        try:
            match asked.name:
                case "page_out":
                    self.page_orders.order(self._runtime(asked), asked, now)
                case "volume":
                    self._volume(asked)
                case "mute":
                    self._mute(asked, now)
                case "record":
                    self._record(asked, now)
                case "reload":
                    self._reload(asked, now)
                case _:
                    raise Refused(f"unknown command {asked.name!r}")
        except Refused as refused:
            self._done(asked, False, str(refused))
        except Exception:  # a bug of ours: the coordinator tells of it; whoever asked is not left waiting
            self._done(asked, False, "it failed; look at the log")
            raise

    def handle_deadline(self, key: tuple[str, ...], now: float) -> None:
        """(ORDER, "page" | "ring", channel) or (ORDER, "reload")."""
        match key[1:]:
            case ("page", channel_id):
                self.page_orders.look(channel_id, now)
            case ("ring", channel_id):
                self._look_at_ring(channel_id, now)
            case ("reload",):
                self.reload_ended(False, f"no end of the reload within {RELOAD_S:.0f} s; look at the log")

    def reload_ended(self, ok: bool, text: str) -> None:
        """The configuration was read again, whoever asked for it."""
        self._deadlines.cancel((ORDER, "reload"))
        asked, self._reloads = self._reloads, []
        for one in asked:
            self._done(one, ok, text)

    # ---- channels come and go

    def attach(self, runtime: ChannelRuntime, now: float) -> None:
        """A channel begins, maybe with new settings: a muted one stays mute, and a volume that was ordered
        holds until the configuration says another one."""
        kept = self._kept.get(runtime.config.id)
        if kept is None:
            return
        if kept.microphone:
            self._step(runtime.config.id, cs.MicrophoneMuted(True), now)
        runtime.stream.silenced = kept.loudspeaker
        if kept.gain_db is not None and kept.configured_db == runtime.config.output_gain_db:
            runtime.output_gain_db = kept.gain_db

    def detach(self, channel_id: str, now: float) -> None:
        """A channel ends."""
        self.page_orders.detach(channel_id, now)
        self._deadlines.cancel((ORDER, "ring", channel_id))

    # ---- volume, mute

    def _volume(self, asked: CommandAsked) -> None:
        runtime = self._runtime(asked)
        gain_db = number(asked, "gain_db", LOWEST_DB, HIGHEST_DB)
        before = runtime.output_gain_db
        runtime.output_gain_db = gain_db
        kept = self._kept.setdefault(asked.channel_id, _Kept())
        kept.gain_db, kept.configured_db = gain_db, runtime.config.output_gain_db
        self._done(asked, True, f"output gain {gain_db:g} dB until the restart", before, gain_db)

    def _mute(self, asked: CommandAsked, now: float) -> None:
        runtime = self._runtime(asked)
        what, muted = asked.values.get("what"), asked.values.get("muted")
        if what not in ("microphone", "loudspeaker"):
            raise Refused('what: expected "microphone" or "loudspeaker"')
        if not isinstance(muted, bool):
            raise Refused("muted: expected true or false")
        kept = self._kept.setdefault(asked.channel_id, _Kept())
        if what == "microphone":
            before, kept.microphone = runtime.microphone_muted, muted
            self._step(asked.channel_id, cs.MicrophoneMuted(muted), now)
        else:
            before, kept.loudspeaker = runtime.loudspeaker_muted, muted
            runtime.stream.silenced = muted
        words = "muted until the restart" if muted else "not muted"
        self._done(asked, True, f"{what} {words}", {what: before}, {what: muted})

    # ---- record, reload

    def _record(self, asked: CommandAsked, now: float) -> None:
        runtime = self._runtime(asked)
        length_s = number(asked, "seconds", 1.0, LONGEST_RECORD_S)
        before = self._pages.recording(asked.channel_id)
        why = self._pages.rings.record_now(runtime, length_s, self._unix_clock(), now)
        if why:
            raise Refused(why)
        self._deadlines.set((ORDER, "ring", asked.channel_id), now + length_s)
        after = {"recording": True, "seconds": length_s}
        self._done(asked, True, f"recorded for {length_s:g} s", {"recording": before}, after)

    def _look_at_ring(self, channel_id: str, now: float) -> None:
        runtime = self._channels.get(channel_id)
        if runtime is None:
            return
        again_s = self._pages.rings.look(runtime, self._pages.plan(channel_id), now)
        if again_s is not None:
            self._deadlines.set((ORDER, "ring", channel_id), again_s)

    def _reload(self, asked: CommandAsked, now: float) -> None:
        if self.ask_reload is None:
            raise Refused("this gateway does not read its configuration again")
        if len(self._reloads) >= MOST_RELOADS:
            raise Refused("a reload is under way")
        self._reloads.append(asked)
        self._deadlines.set((ORDER, "reload"), now + RELOAD_S)
        self.ask_reload()

    # ---- inside

    def _runtime(self, asked: CommandAsked) -> ChannelRuntime:
        runtime = self._channels.get(asked.channel_id)
        if runtime is None:
            near = did_you_mean(asked.channel_id, list(self._channels))
            raise Refused(f"channel {asked.channel_id!r} does not run" + (f"; {near}" if near else ""))
        return runtime

    def _done(
        self, asked: CommandAsked, ok: bool, text: str, before: object = None, after: object = None
    ) -> None:
        where = f" on channel {asked.channel_id}" if asked.channel_id else ""
        log.info("%s asked for %s%s: %s", asked.who, asked.name, where, text)
        self._post(CommandDone(asked.name, asked.channel_id, asked.who, ok, text, before, after))
        asked.answer(ok, text)
