"""The command line: each command is a thin call into a room, imported when it is asked for."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from echostream import __version__
from echostream.errors import ConfigError, EchoStreamError, LibraryMissing

if TYPE_CHECKING:
    from echostream.audio.ports import AudioSink

EXAMPLES = """\
examples:
  echostream run                                  the gateway, with ./config.json
  echostream run --simulate missing --for 30      30 s, what hardware is missing is simulated
  echostream config check config.json             every error at once, with its remedy
  echostream devices                              sound cards, port paths, GPIO chips
  echostream server --port 8765                   a small control server
  echostream subscribe                            what the gateway publishes over MQTT
  echostream listen ws://10.0.0.5:8765 fire-tac --wav heard.wav
  echostream talk   ws://10.0.0.5:8765 fire-tac hello.wav
  echostream esp32  hello.wav --to 10.0.0.7:9000  an ESP32 microphone that sends a file
  echostream tones detect call.mp3                which tones are in a recording
  echostream page fire-dispatch engine-7 --voice alarm.mp3
  echostream recordings list --from today         what was recorded
  echostream events --follow                      what happens, as it happens
  echostream report yesterday                     pages, talk time, uptime and gaps of a day

exit codes: 0 done, 1 failed while it ran, 2 the configuration or the call is wrong,
            3 a library, a card or a running gateway is missing
"""


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        prog="echostream",
        description="Puts radios and microphones on encrypted voice channels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"echostream {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_run(commands)
    _add_reload(commands)
    _add_config(commands)
    _add_devices(commands)
    _add_server(commands)
    _add_members(commands)
    _add_esp32(commands)
    _add_tones(commands)
    _add_recordings(commands)
    _add_events(commands)
    _add_publishing(commands)
    _add_looking_after(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run the gateway", description="Run the gateway.")
    run.add_argument("--config", type=Path, default=Path("config.json"), help="default: ./config.json")
    run.add_argument(
        "--simulate",
        choices=("none", "missing", "all"),
        default="none",
        help="none: wait for real hardware (default); missing: simulate what is not there; "
        "all: touch nothing real",
    )
    run.add_argument("--for", dest="for_s", type=_seconds, metavar="SECONDS", help="end by itself")
    run.add_argument("--summary", type=Path, metavar="FILE", help="write a JSON summary at the end")
    view = run.add_mutually_exclusive_group()
    view.add_argument("--live", dest="live", action="store_true", default=None, help="force the live view")
    view.add_argument("--no-live", dest="live", action="store_false", help="plain lines, also on a terminal")
    run.add_argument("--log", choices=("auto", "lines", "json"), default="auto", help="auto: JSON to journal")
    run.add_argument("--verbose", action="store_true", help="log more")
    run.add_argument("--instance", default="echostream", help="name, where several run on one machine")
    run.add_argument(
        "--last-good",
        type=Path,
        metavar="DIR",
        help="keep there the configuration that works, and take it when a new one does not",
    )
    run.set_defaults(action=_run)


def _add_reload(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reload = commands.add_parser(
        "reload",
        help="make the running gateway read its configuration again",
        description="Apply what changed in the configuration; channels that did not change are not touched. "
        "A configuration that does not hold is refused and the old one stays (see the gateway's log).",
    )
    reload.add_argument("--config", type=Path, help="check this file first; send nothing when it is refused")
    reload.add_argument("--instance", default="echostream")
    reload.set_defaults(action=_reload)


def _add_config(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    config = commands.add_parser("config", help="check, show, convert configurations")
    actions = config.add_subparsers(dest="config_command", metavar="ACTION", required=True)
    check = actions.add_parser("check", help="every error at once, each with its path and remedy")
    check.add_argument("file", type=Path)
    check.add_argument("--json", action="store_true", help="for machines")
    check.set_defaults(action=_config_check)
    show = actions.add_parser("show", help="what is in force, defaults included, secrets masked")
    show.add_argument("file", type=Path)
    show.set_defaults(action=_config_show)
    schema = actions.add_parser("schema", help="print the JSON Schema, for editors")
    schema.set_defaults(action=_config_schema)
    convert = actions.add_parser("convert", help="a device's stored (shadow) configuration into our form")
    convert.add_argument("file", type=Path)
    convert.add_argument("-o", "--output", type=Path, help="default: print it")
    convert.set_defaults(action=_config_convert)


def _add_devices(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    devices = commands.add_parser("devices", help="list sound cards and GPIO chips")
    devices.add_argument("--config", type=Path, help="also say which channel uses which card")
    devices.add_argument("--json", action="store_true", help="for machines")
    devices.set_defaults(action=_devices)


def _add_server(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.simulator.control_server_options import add_arguments

    server = commands.add_parser(
        "server", help="a small control server", description="Signalling and UDP relay, protocol version 1."
    )
    add_arguments(server)
    server.set_defaults(action=_server)


def _add_members(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    talk = commands.add_parser("talk", help="say a WAV file on a channel")
    _add_membership(talk)
    talk.add_argument("file", type=Path, help="16-bit PCM WAV of any rate")
    talk.set_defaults(action=_talk)
    listen = commands.add_parser("listen", help="hear a channel, or keep it in a WAV file")
    _add_membership(listen)
    listen.add_argument("--wav", type=Path, metavar="FILE", help="write what is heard instead of playing it")
    listen.add_argument("--card", default="default", help="the card to play on (default: default)")
    listen.add_argument("--for", dest="for_s", type=_seconds, metavar="SECONDS", help="end by itself")
    listen.set_defaults(action=_listen)
    answer = commands.add_parser("answer", help="answer every transmission on channels with a recording")
    _add_membership(answer, several=True)
    answer.add_argument("--file", type=Path, help="16-bit PCM WAV (default: the shipped answer)")
    answer.set_defaults(action=_answer)


def _add_membership(parser: argparse.ArgumentParser, several: bool = False) -> None:
    parser.add_argument("url", help="ws:// or wss:// address of the control server")
    parser.add_argument("channel", nargs="+" if several else None, help="channel id")
    parser.add_argument("--name", default="EchoStream command line", help="the name that others see")
    parser.add_argument("--key-file", help='file with the pre-shared key, where the server offers "N/A"')
    parser.add_argument("--token-file", help="file with an access token")
    parser.add_argument("--token-header", help="header that carries the token")
    parser.add_argument("--token-query", help="URL query key that carries the token")
    parser.add_argument("--ca-file", help="PEM of the authority to trust")
    parser.add_argument("--verbose", action="store_true")


def _add_esp32(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.simulator import esp32_options

    esp32 = commands.add_parser(
        "esp32",
        help="play ESP32 microphones that stream a file to a gateway",
        description="Play ESP32 microphones: over sockets, in real time, with their firmware's habits.",
        epilog=esp32_options.EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    esp32_options.add_arguments(esp32)
    esp32.set_defaults(action=_esp32)


def _add_tones(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.tone_tools.commands import add_page, add_tones

    add_tones(commands, _learn_from_channel)
    add_page(commands, _page)


def _add_recordings(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.archive_tools.commands import add_recordings

    add_recordings(commands, _open_card)


def _add_publishing(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.simulator import publishing_options as options

    subscribe = commands.add_parser(
        "subscribe",
        help="print what arrives at the broker",
        description="Subscribe at the configuration's broker, or at another one, and print each message.",
        epilog=options.SUBSCRIBE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_subscribe(subscribe)
    subscribe.set_defaults(action=_subscribe)
    bucket = commands.add_parser(
        "bucket",
        help="a small S3 server",
        description="An S3 server on this machine, to try uploads out: what comes stands in a folder.",
    )
    options.add_bucket(bucket)
    bucket.set_defaults(action=_bucket)


def _add_events(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.event_tools.alert_commands import add_alerts
    from echostream.event_tools.commands import add_events
    from echostream.event_tools.report_command import add_report

    add_events(commands)
    add_alerts(commands)
    add_report(commands)


def _add_looking_after(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from echostream.deploy.commands import add_deploy
    from echostream.doctor.command import add_doctor
    from echostream.selftest.command import add_selftest
    from echostream.tune.command import add_tune

    add_doctor(commands)
    add_selftest(commands)
    add_tune(commands)
    add_deploy(commands)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 10 * 366 * 86400:
        raise argparse.ArgumentTypeError(f"{text}: expected a positive number of seconds")
    return value


# ---- the commands


def _run(args: argparse.Namespace) -> int:
    from echostream.main import RunOptions, run

    return run(
        RunOptions(
            config_path=args.config,
            simulate=args.simulate,
            for_s=args.for_s,
            summary_path=args.summary,
            live=args.live,
            log_style=args.log,
            verbose=args.verbose,
            instance=args.instance,
            last_good=args.last_good,
        )
    )


def _reload(args: argparse.Namespace) -> int:
    import signal

    from echostream.config.commands import check
    from echostream.instance import InstanceError, places, signal_running

    if args.config is not None and check(args.config, as_json=False, out=sys.stdout) == 2:
        return 2
    try:
        pid = signal_running(args.instance, signal.SIGHUP, *places(args.instance))
    except InstanceError as error:
        print(f"echostream reload: {error}", file=sys.stderr)
        return 3
    print(f"asked process {pid} to reload; its log says what it applied")
    with contextlib.suppress(ConfigError):  # the gateway says what is wrong with it
        _log_reload(args.config, pid)
    return 0


def _log_reload(config: Path | None, pid: int) -> None:
    from echostream.archive_tools.place import Place, resolve

    with resolve(Place(config=config)).acts(sys.stderr) as acts:
        acts.add("reload", f"process {pid} was asked to reload", subject="configuration")


def _config_check(args: argparse.Namespace) -> int:
    from echostream.config.commands import check

    return check(args.file, as_json=args.json, out=sys.stdout)


def _config_show(args: argparse.Namespace) -> int:
    from echostream.config.commands import show

    return show(args.file, out=sys.stdout)


def _config_schema(args: argparse.Namespace) -> int:
    from echostream.config.commands import schema

    return schema(out=sys.stdout)


def _config_convert(args: argparse.Namespace) -> int:
    from echostream.config.commands import convert

    return convert(args.file, args.output, out=sys.stdout)


def _devices(args: argparse.Namespace) -> int:
    from echostream.console.devices import devices

    return devices(args.config, as_json=args.json, out=sys.stdout)


def _server(args: argparse.Namespace) -> int:
    from echostream.simulator.control_server import run

    return run(args)


def _talk(args: argparse.Namespace) -> int:
    from echostream.simulator.member_commands import talk

    return talk(args)


def _listen(args: argparse.Namespace) -> int:
    from echostream.simulator.member_commands import listen

    return listen(args)


def _answer(args: argparse.Namespace) -> int:
    from echostream.simulator.member_commands import answer

    return answer(args)


def _esp32(args: argparse.Namespace) -> int:
    from echostream.simulator.esp32_command import esp32

    return esp32(args)


def _subscribe(args: argparse.Namespace) -> int:
    from echostream.simulator.subscriber import subscribe

    return subscribe(args)


def _bucket(args: argparse.Namespace) -> int:
    from echostream.simulator.bucket_command import bucket

    return bucket(args)


def _learn_from_channel(args: argparse.Namespace) -> int:
    from echostream.simulator.learn_command import learn_from_channel

    return learn_from_channel(args)


@contextlib.contextmanager
def _open_card(name: str) -> Iterator[AudioSink]:
    """A card's loudspeaker, for as long as something is played on it."""
    from echostream.audio.ports import CardSpec
    from echostream.hardware.audio_hardware import AudioHardware

    hardware = AudioHardware([name])
    try:
        with contextlib.closing(hardware.open_sink(CardSpec(name))) as sink:
            yield sink
    finally:
        hardware.close()


def _page(args: argparse.Namespace) -> int:
    from echostream.simulator.page_command import page

    return page(args)


def main(argv: list[str] | None = None) -> int:
    """Entry point of `echostream`; returns the exit code."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.action(args)
        sys.stdout.flush()
        _forget_what_cannot_be_written()
    except EchoStreamError as error:  # a library that is missing says so when its room is imported
        print(f"echostream {args.command}: {error}", file=sys.stderr)
        return 3 if isinstance(error, LibraryMissing) else 2
    except BrokenPipeError:  # `echostream devices | head`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130
    return code


def _forget_what_cannot_be_written() -> None:
    """A full disk behind stderr has been counted; at exit Python would make an error of it again."""
    try:
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


if __name__ == "__main__":
    sys.exit(main())
