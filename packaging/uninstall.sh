#!/usr/bin/env bash
# Remove EchoStream as a service. As root. Configuration and data stay.
#
#   uninstall.sh [--purge]     --purge: /etc/echostream and /var/lib/echostream too, after a question
set -euo pipefail

say() { echo "uninstall: $*" >&2; }
die() { say "$*"; exit 1; }

((EUID == 0)) || die "run it as root: sudo $0"
[[ $# -eq 0 || ($# -eq 1 && $1 == --purge) ]] || { say "unknown: $*; only --purge is known"; exit 2; }
if [[ $(dpkg-query -W -f '${db:Status-Status}' echostream 2>/dev/null) == installed ]]; then
    die "EchoStream is a Debian package here: apt remove echostream (apt purge: the configuration too)"
fi

if [[ ${1:-} == --purge && (-d /etc/echostream || -d /var/lib/echostream) ]]; then
    say "this deletes the configuration with its keys, and all recordings, events and reports:"
    du -sh /etc/echostream /var/lib/echostream 2>/dev/null >&2 || true
    read -r -p "uninstall: type 'delete' to go on: " answer || true
    [[ ${answer:-} == delete ]] || die "nothing was changed"
fi

remove() {
    local python
    # The version in force does it; another one where that is damaged.
    for python in /opt/echostream/{current,previous,versions/*}/bin/python; do
        if (cd / && "$python" -P -c 'import echostream.deploy.remove' 2>/dev/null); then
            (cd / && "$python" -P -m echostream.deploy.remove)
            return
        fi
    done
    [[ ! -d /opt/echostream ]] || die "no version in /opt/echostream works: install once more, then uninstall"
    say "nothing is installed here"
}

remove
if [[ ${1:-} == --purge ]]; then
    rm -rf /etc/echostream /var/lib/echostream
    rm -f /var/lib/systemd/timers/stamp-echostream-*.timer
    say "deleted: /etc/echostream, /var/lib/echostream. The users echostream and echostream-ptt stay"
else
    for folder in /etc/echostream /var/lib/echostream; do
        [[ ! -d $folder ]] || say "kept: $folder"
    done
fi
