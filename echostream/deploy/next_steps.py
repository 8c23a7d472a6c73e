"""What a person does after an installation, in the order that it is done."""

from __future__ import annotations

from echostream.deploy.layout import InstallRecord

_FIRST = """\

EchoStream {version} is installed and starts at each boot. What comes next:

  1. Plug in the cards and the radios, and see what is there
         echostream devices
  2. Say which server, channels, cards and pins; each field is explained in configuration.md
         sudo nano /etc/echostream/config.json
     A key or password goes into a file of its own, and the configuration names that file
         sudo sh -c 'umask 077; cat > /etc/echostream/credentials/aes-key'
         "aes_key": {{ "credential": "aes-key" }}
  3. Check it, and put it in force
         sudo echostream config check /etc/echostream/config.json
         sudo systemctl restart echostream
  4. Is everything as it should be? Then set the levels of each channel
         sudo echostream doctor
         sudo echostream tune CHANNEL

  How it is: systemctl status echostream. What it says: journalctl -fu echostream
  Line by line: {docs}/raspberry-pi.md
  To remove it (configuration and data stay): {remove}

"""
_NEXT = """\

EchoStream {version} is there. How its trial goes: echostream versions. To go back: sudo echostream rollback

"""
_DOCS = "/opt/echostream/current/share/echostream/docs"
_REMOVE = {
    "package": "sudo apt remove echostream",
    "source": "sudo /opt/echostream/current/share/echostream/uninstall.sh",
}


def next_steps(version: str, record: InstallRecord, first: bool) -> str:
    """For the end of an installation. `first`: there was none on this machine before."""
    text = _FIRST if first else _NEXT
    return text.format(version=version, docs=_DOCS, remove=_REMOVE[record.method])
