"""`echostream recordings`: its commands. Each is imported when it is asked for."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from echostream.archive_tools import help_texts
from echostream.archive_tools.options import add_command, add_place, add_selection, count, hours, rate
from echostream.archive_tools.times import parse_length

if TYPE_CHECKING:
    from echostream.archive_tools.place import Place
    from echostream.archive_tools.playing import OpenCard
    from echostream.archive_tools.selection import Selection

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_recordings(commands: Actions, open_card: OpenCard) -> None:
    """Put `echostream recordings` on the command line. open_card: opens one to play on; not done here."""
    recordings = commands.add_parser(
        "recordings",
        help="list, show, export, verify, repair, protect and delete recordings",
        description="What was recorded: find it, look at it, take it out, and see that all of it is there.",
        epilog=help_texts.RECORDINGS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = recordings.add_subparsers(dest="recordings_command", metavar="ACTION", required=True)
    _add_list(actions)
    _add_show(actions)
    _add_export(actions)
    _add_play(actions, open_card)
    _add_verify(actions)
    _add_repair(actions)
    _add_tidy(actions)
    _add_protect(actions)
    _add_delete(actions)
    _add_url(actions)
    _add_stats(actions)


def _add_list(actions: Actions) -> None:
    listing = add_command(actions, "list", "what there is, the newest at the bottom", help_texts.LIST)
    add_selection(listing)
    listing.add_argument("--limit", type=count, default=50, metavar="N", help="the newest N (50)")
    listing.add_argument("--all", action="store_true", help="however many there are")
    add_place(listing)
    listing.set_defaults(action=_list)


def _add_show(actions: Actions) -> None:
    show = add_command(
        actions, "show", "all that is known of recordings", help_texts.SHOW, "WHAT ... [options]"
    )
    show.add_argument("what", nargs="+", metavar="WHAT", help="ids or files; a source: its newest one")
    show.add_argument("--plot", type=Path, metavar="OUT.png", help="draw its waveform and spectrogram")
    add_place(show)
    show.set_defaults(action=_show)


def _add_export(actions: Actions) -> None:
    export = add_command(
        actions, "export", "a range of time as one file", help_texts.EXPORT, "[WHAT ...] -o OUT [options]"
    )
    add_selection(export)
    export.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".wav, .flac, .zip or .csv; - for a pipe",
    )
    export.add_argument(
        "--rate", type=rate, default=0, metavar="HZ", help="sample rate (the highest of them)"
    )
    export.add_argument("--mix", action="store_true", help="all sources in one channel")
    export.add_argument(
        "--squeeze",
        type=parse_length,
        default=None,
        metavar="LENGTH",
        help="cut silences longer than this, and those at both ends",
    )
    export.add_argument("--join", choices=("samples", "time"), help="keep each sample, or each start; below")
    export.add_argument("--force", action="store_true", help="overwrite OUT")
    add_place(export)
    export.set_defaults(action=_export)


def _add_play(actions: Actions, open_card: OpenCard) -> None:
    play = add_command(actions, "play", "hear recordings on a card", help_texts.PLAY)
    add_selection(play)
    play.add_argument("--card", default="default", metavar="NAME", help="as `echostream devices` names it")
    play.add_argument(
        "--squeeze",
        type=parse_length,
        default=parse_length("1s"),
        metavar="LENGTH",
        help="cut silences longer than this (1s)",
    )
    play.add_argument("--pauses", action="store_true", help="keep every silence")
    add_place(play)
    play.set_defaults(action=_play, open_card=open_card)


def _add_verify(actions: Actions) -> None:
    verify = add_command(actions, "verify", "whether everything is there, and whole", help_texts.VERIFY)
    add_selection(verify)
    verify.add_argument("--quick", action="store_true", help="sizes and headers only: nothing is read whole")
    add_place(verify)
    verify.set_defaults(action=_verify)


def _add_repair(actions: Actions) -> None:
    repair = add_command(actions, "repair", "make whole what a crash left", help_texts.REPAIR, "[options]")
    repair.add_argument("--dry-run", action="store_true", help="say what would be done, change nothing")
    repair.add_argument("--index", action="store_true", help="make the whole index again of the files")
    add_place(repair)
    repair.set_defaults(action=_repair)


def _add_tidy(actions: Actions) -> None:
    words = "keep recordings and event log within their bounds"
    tidy = add_command(actions, "tidy", words, help_texts.TIDY, "[--config FILE]")
    tidy.add_argument("--config", type=Path, metavar="FILE", help="the configuration that says the bounds")
    tidy.set_defaults(action=_tidy)


def _add_protect(actions: Actions) -> None:
    protect = add_command(actions, "protect", "keep recordings whatever their age", help_texts.PROTECT)
    add_selection(protect)
    protect.add_argument("--off", action="store_true", help="protect them no longer")
    protect.add_argument("--note", metavar="TEXT", help="what there is to say about them; `list` finds it")
    add_place(protect)
    protect.set_defaults(action=_protect)


def _add_delete(actions: Actions) -> None:
    delete = add_command(actions, "delete", "delete recordings", help_texts.DELETE)
    add_selection(delete)
    delete.add_argument("--yes", action="store_true", help="do not ask")
    delete.add_argument("--force", action="store_true", help="also what is protected")
    add_place(delete)
    delete.set_defaults(action=_delete)


def _add_url(actions: Actions) -> None:
    url = add_command(actions, "url", "a link to one in the bucket", help_texts.URL, "WHAT ... [options]")
    url.add_argument("what", nargs="+", metavar="WHAT", help="ids or files; a source: its newest one")
    url.add_argument("--hours", type=hours, default=None, metavar="N", help="it works so long (s3.url_hours)")
    add_place(url)
    url.set_defaults(action=_url)


def _add_stats(actions: Actions) -> None:
    stats = add_command(
        actions, "stats", "how much there is, of whom, and how long the disk lasts", "", "[options]"
    )
    add_place(stats)
    stats.set_defaults(action=_stats)


# ---- the commands


def _list(args: argparse.Namespace) -> int:
    from echostream.archive_tools.listing import list_recordings
    from echostream.archive_tools.place import opened

    limit = 0 if args.all else args.limit
    with opened(_place(args), sys.stderr) as store:
        return list_recordings(
            store, _selection(args), _now_us(), limit, as_json=args.json, out=sys.stdout, err=sys.stderr
        )


def _show(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import opened
    from echostream.archive_tools.showing import show

    with opened(_place(args), sys.stderr, owned=False) as store:
        return show(store, args.what, args.plot, utc=args.utc, as_json=args.json, out=sys.stdout)


def _export(args: argparse.Namespace) -> int:
    from echostream.archive_tools.exporting import ExportOptions, export
    from echostream.archive_tools.place import opened

    options = ExportOptions(
        output=args.output,
        rate_hz=args.rate,
        join=args.join,
        mix=args.mix,
        squeeze_us=args.squeeze,
        as_json=args.json,
        force=args.force,
    )
    with opened(_place(args), sys.stderr, owned=False) as store:
        return export(store, _selection(args), options, _now_us(), sys.stdout, sys.stderr, sys.stdout.buffer)


def _play(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import opened
    from echostream.archive_tools.playing import PlayOptions, play

    options = PlayOptions(args.card, None if args.pauses else args.squeeze)
    with opened(_place(args), sys.stderr, owned=False) as store:
        return play(store, _selection(args), options, _now_us(), args.open_card, sys.stdout, sys.stderr)


def _verify(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import opened
    from echostream.archive_tools.verifying import verify

    with opened(_place(args), sys.stderr) as store:
        return verify(
            store,
            _selection(args),
            _now_us(),
            quick=args.quick,
            as_json=args.json,
            out=sys.stdout,
            err=sys.stderr,
        )


def _repair(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import as_owner, resolve, told_as_ours
    from echostream.archive_tools.repairing import RepairOptions, repair_archive

    place = resolve(_place(args))
    options = RepairOptions(args.dry_run, args.index, args.json, place.gateway)
    with told_as_ours(), as_owner(place.directory), place.acts(sys.stderr) as acts:
        return repair_archive(place.directory, place.database_url, options, sys.stdout, sys.stderr, acts)


def _tidy(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import as_owner, configured, told_as_ours
    from echostream.archive_tools.tidying import tidy

    config, found = configured(args.config)
    with told_as_ours(), as_owner(found.directory), found.acts(sys.stderr) as acts:
        return tidy(config, found.database_url, sys.stdout, sys.stderr, acts)


def _protect(args: argparse.Namespace) -> int:
    from echostream.archive_tools.changing import protect
    from echostream.archive_tools.place import opened, resolve

    found = resolve(_place(args))
    with opened(_place(args), sys.stderr, found=found) as store, found.acts(sys.stderr) as acts:
        return protect(
            store,
            _selection(args),
            _now_us(),
            on=not args.off,
            note=args.note,
            as_json=args.json,
            out=sys.stdout,
            err=sys.stderr,
            acts=acts,
        )


def _delete(args: argparse.Namespace) -> int:
    from echostream.archive_tools.changing import DeleteOptions, delete
    from echostream.archive_tools.place import opened, resolve

    options = DeleteOptions(yes=args.yes, force=args.force, as_json=args.json)
    found = resolve(_place(args))
    with opened(_place(args), sys.stderr, found=found) as store, found.acts(sys.stderr) as acts:
        return delete(store, _selection(args), options, _now_us(), sys.stdin, sys.stdout, sys.stderr, acts)


def _url(args: argparse.Namespace) -> int:
    from echostream.archive_tools.links import links

    return links(_place(args), args.what, args.hours, as_json=args.json, out=sys.stdout, err=sys.stderr)


def _stats(args: argparse.Namespace) -> int:
    from echostream.archive_tools.place import opened
    from echostream.archive_tools.statistics import stats

    with opened(_place(args), sys.stderr) as store:
        return stats(store, _now_us(), utc=args.utc, as_json=args.json, out=sys.stdout)


def _place(args: argparse.Namespace) -> Place:
    from echostream.archive_tools.place import Place

    return Place(args.directory, args.config, args.by_files)


def _selection(args: argparse.Namespace) -> Selection:
    from echostream.archive_tools.selection import Selection

    return Selection(
        what=tuple(args.what),
        start=args.start,
        end=args.end,
        length_us=args.length_us,
        kinds=tuple(args.kind),
        triggers=tuple(args.trigger),
        channels=tuple(args.channel),
        tones=tuple(args.tone),
        text=args.text,
        protected=args.protected,
        utc=args.utc,
    )


def _now_us() -> int:
    return time.time_ns() // 1000
