"""What a person at the command line sees, and what a script gets."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from config_documents import EXAMPLE, example, small

from echostream.config import commands
from echostream.config.load import load_config
from echostream.config.reference import reference
from echostream.config.schema import field_docs, json_schema, models

DEVICE = {
    "unique_id": "device-17",
    "shadow": {
        "state": {
            "desired": {
                "software_configuration": [{"channel_one": {"channel_id": "one", "tone_detect": True}}]
            }
        }
    },
}


def written(tmp_path: Path, document: object) -> Path:
    path = tmp_path / "tested.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def checked(path: Path, as_json: bool = False) -> tuple[int, str]:
    out = io.StringIO()
    return commands.check(path, as_json=as_json, out=out), out.getvalue()


def test_a_good_file_is_one_line() -> None:
    assert checked(EXAMPLE) == (
        0,
        f"{EXAMPLE}: in force with 4 channels (fire-dispatch, fire-tac, ems, public-works)\n",
    )


def test_each_finding_is_a_block_and_the_last_line_sums_up(tmp_path: Path) -> None:
    document = small(audio={"fec": "yes"})
    document["channels"][0]["duplex"] = "ful"
    path = written(tmp_path, document)
    code, text = checked(path)
    assert code == 2
    assert text == (
        "refused: audio.fec\n"
        '  is:       "yes"\n'
        "  expected: true or false\n"
        "  hint:     write true or false, without quotes\n\n"
        "dropped: channels[0].duplex\n"
        '  is:       "ful"\n'
        '  expected: "half" or "full"\n'
        '  hint:     did you mean "full"?\n\n'
        f"{path}: refused (1 refused, 1 left out)\n"
    )


def test_a_file_in_force_with_something_left_out_is_1(tmp_path: Path) -> None:
    document = small(mqtt={"enabled": True, "host": "b.amazonaws.com"})
    document["channels"][0]["duplex"] = "ful"
    code, text = checked(written(tmp_path, document))
    assert code == 1
    assert text.endswith("in force with 1 channel (b); 1 left out, 1 to look at\n")


def test_broken_syntax_is_shown_with_a_caret(tmp_path: Path) -> None:
    code, text = checked(written(tmp_path, '{"gateway" {}}'))
    assert code == 2
    assert '      1 | {"gateway" {}}\n        |            ^\n' in text


def test_a_machine_gets_json(tmp_path: Path) -> None:
    document = small()
    document["channels"][0]["duplex"] = "ful"
    code, text = checked(written(tmp_path, document), as_json=True)
    told = json.loads(text)
    assert (code, told["in_force"], told["channels"]) == (1, True, ["b"])
    assert told["findings"] == [
        {
            "path": "channels[0].duplex",
            "value": '"ful"',
            "expected": '"half" or "full"',
            "hint": 'did you mean "full"?',
            "severity": "dropped",
            "excerpt": "",
        }
    ]
    assert json.loads(checked(written(tmp_path, "{"), as_json=True)[1])["in_force"] is False


def test_a_secret_file_that_is_open_to_everybody_is_found(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o644)
    path = written(tmp_path, small(control_server={"url": "ws://h/", "aes_key": {"file": str(key)}}))
    assert checked(path)[0] == 1


def test_show_prints_the_defaults_and_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    document = small(control_server={"url": "wss://h/?token=hunter2", "aes_key": {"env": "KEY"}})
    assert commands.show(written(tmp_path, document), out=out) == 1
    shown = json.loads(out.getvalue())
    assert shown["audio"]["bitrate_bps"] == 24000
    assert shown["control_server"]["aes_key"] == {"env": "KEY"}
    assert "hunter2" not in out.getvalue() + capsys.readouterr().err


def test_a_device_document_is_converted_into_a_file_that_holds(tmp_path: Path) -> None:
    out, target = io.StringIO(), tmp_path / "own.json"
    assert commands.convert(written(tmp_path, DEVICE), target, out=out) == 1
    assert "fill in channels[0].card" in out.getvalue()
    loaded = load_config(target)
    assert (loaded.dropped, loaded.warnings) == ((), ())
    assert [channel.id for channel in loaded.config.channels] == ["one"]
    assert "audio" not in json.loads(target.read_text("utf-8"))


def test_a_conversion_to_the_terminal_is_json_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = io.StringIO()
    assert commands.convert(written(tmp_path, DEVICE), None, out=out) == 1
    assert json.loads(out.getvalue())["gateway"]["id"] == "device-17"
    assert "fill in control_server.url" in capsys.readouterr().err


@pytest.mark.parametrize("document", [small(), {"software_configuration": []}, "{"])
def test_what_is_no_device_document_is_refused(
    tmp_path: Path, document: object, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "own.json"
    assert commands.convert(written(tmp_path, document), target, out=io.StringIO()) == 2
    assert "refused" in capsys.readouterr().err
    assert not target.exists()


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = written(tmp_path, DEVICE)
    assert commands.convert(source, tmp_path / "none" / "own.json", out=io.StringIO()) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_terminal_without_unicode_is_no_crash(tmp_path: Path) -> None:
    document = small()
    document["channels"][0] |= {"name": "Ω", "duplex": "…"}
    path = written(tmp_path, document)
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert commands.check(path, as_json=False, out=out) == 1
    assert commands.show(path, out=out) == 1


# ---- schema and reference


def test_the_schema_describes_every_field_and_knows_every_key_of_the_example() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "EchoStream configuration"
    nodes = [schema, *schema["$defs"].values()]
    for node in nodes:
        for name, field in node["properties"].items():
            assert field.get("description"), f"{node['title']}.{name} has no text"
    assert set(example()) < set(schema["properties"])
    assert schema["properties"]["$schema"]["type"] == "string"
    assert set(schema["$defs"]) == set(models()) - {"Config"}
    json.dumps(schema)


def test_the_schema_holds_the_bounds() -> None:
    schema = json_schema()
    assert schema["properties"]["channels"]["maxItems"] == 16
    assert schema["$defs"]["TonePlan"]["properties"]["alert_tones"]["maxItems"] == 1000
    assert schema["$defs"]["Ptt"]["properties"]["pin"]["maximum"] == 53
    assert schema["$defs"]["Channel"]["additionalProperties"] is False


def test_every_field_has_its_text() -> None:
    for model in models().values():
        assert set(field_docs(model)) == set(model.model_fields), model.__name__


def test_the_reference_is_fresh() -> None:
    stored = (EXAMPLE.parent / "docs" / "configuration.md").read_text("utf-8")
    assert stored == reference(), "run: python -m echostream.config.reference > docs/configuration.md"


def test_the_reference_links_lead_somewhere() -> None:
    import re

    text = reference()
    headings = {
        re.sub(r"[^\w -]", "", line.removeprefix("## ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("## ")
    }
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links <= headings
    for model in models().values():
        assert all(f"| `{field}` |" in text for field in model.model_fields)


def test_loading_imports_nothing_heavy() -> None:
    """A gateway that was off must be on the air within seconds, also on a slow board."""
    heavy = ("numpy", "scipy", "cryptography", "websocket", "rich", "echostream.config.schema", "asyncio")
    code = (
        "import sys, echostream.config.load, echostream.config.models\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=EXAMPLE.parent,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.strip() == "[]"
