#!/usr/bin/env bash
# Install what EchoStream needs on this machine: system packages and the virtual environment .venv.
#
#   scripts/setup.sh run      to run the gateway (make run)
#   scripts/setup.sh dev      and to test and check it (make test, make lint)
#   scripts/setup.sh bench    and to measure it beside its peers (make bench)
#
# Runs as often as you like: with nothing to do it ends after a few milliseconds. PYTHON=/path/to/python3
# chooses an interpreter. Nothing of the system is ever removed: what would remove something is left out, and said.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

LEVEL=${1:-run}
VENV=.venv
REQUIREMENTS=(requirements.txt)

say() { echo "setup: $*" >&2; }
die() { say "$*"; exit 1; }

case $LEVEL in
    run) ;;
    dev | bench) REQUIREMENTS+=("requirements-$LEVEL.txt") ;;
    *) die "unknown level '$LEVEL': run, dev or bench" ;;
esac

# ---- is there anything to do?

# What an environment depends on: this script, the pins, the interpreter behind it, and where the clone lies.
fingerprint() {
    { cat scripts/setup.sh pyproject.toml "$@"
      echo "$PWD" "$(readlink -f $VENV/bin/python || true)"; } | sha256sum | cut -d' ' -f1
}
STAMP=$VENV/.setup-$LEVEL

# Whether .venv was made by this interpreter, and made here: its programs carry its path.
made_by() {
    [[ $(readlink -f $VENV/bin/python) == "$("$1" -c 'import os, sys; print(os.path.realpath(sys.executable))')" ]] \
        && grep -Fqs "$PWD/$VENV" $VENV/bin/activate
}
done_already() {
    [[ -x $VENV/bin/python && -f $STAMP && $(<"$STAMP") == "$(fingerprint "${REQUIREMENTS[@]}")" ]] \
        && { [[ -z ${PYTHON:-} ]] || made_by "$PYTHON"; }
}

done_already && exit 0
exec 9<scripts/setup.sh
flock 9 # a second set-up of this clone waits for the first
done_already && exit 0

# ---- system packages, each asked for by what it brings, so that a part installed otherwise counts too

has_command() { command -v "$1" >/dev/null; }
has_program() { PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; } # one that only root has on its PATH
has_library() { [[ $(/sbin/ldconfig -p 2>/dev/null) == *"$1"* ]]; }
has_file() { compgen -G "$1" >/dev/null; }
has_header() { echo "#include <$1>" | gcc -E - >/dev/null 2>&1; }

supported() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}
find_python() {
    local candidate candidates=("$(readlink -f $VENV/bin/python || true)" python3 python3.13 python3.12 python3.11)
    [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
    for candidate in "${candidates[@]}"; do
        if has_command "$candidate" && supported "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}
python_has() { [[ -n $python ]] && "$python" -c "$1" >/dev/null 2>&1; }

MISSING=() # without these it cannot run
WANTED=()  # without these it runs with less
need() { local package=$1; shift; "$@" || MISSING+=("$package"); }
want() { local package=$1; shift; "$@" || WANTED+=("$package"); }

look_around() {
    MISSING=() WANTED=()
    python=$(find_python || true)
    [[ -n $python || -z ${PYTHON:-} ]] || die "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13"
    [[ -n $python ]] || MISSING+=(python3)
    need python3-venv python_has 'import venv, ensurepip'
    # PyAudio, and lgpio on Python 3.13, come as source.
    need python3-dev python_has 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
    need gcc has_command gcc
    need libc6-dev has_header stdio.h
    need portaudio19-dev has_header portaudio.h
    need libportaudio2 has_library libportaudio.so.2
    need libopus0 has_library libopus.so.0
    # Virtual sound cards: what `make run` puts in the place of missing ones, and what the tests run on.
    want pulseaudio has_command pulseaudio
    want pulseaudio-utils has_command pacat
    want libasound2-plugins has_file '/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so'
    # A broker, where none is configured (1 MB).
    want mosquitto has_program mosquitto
    # The sketch of docs/esp32.md is compiled by the tests.
    [[ $LEVEL != dev ]] || want g++ has_command g++
    # A site's index: the tests make a server of their own, for themselves alone.
    [[ $LEVEL == run ]] || want postgresql has_file '/usr/lib/postgresql/*/bin/initdb'
    # An S3 server that buckets of the field run on: the tests start one for themselves.
    if [[ $LEVEL == dev ]]; then
        # The units are verified and scored by the tests.
        want systemd has_command systemd-analyze
        want ceph-mon has_program ceph-mon
        want ceph-osd has_program ceph-osd
        want radosgw has_program radosgw
        want ceph-common has_program ceph
    fi
    if [[ $LEVEL == bench ]]; then
        want gstreamer1.0-tools has_command gst-launch-1.0
        local plugins='/usr/lib/*/gstreamer-1.0/libgst'
        want gstreamer1.0-plugins-base has_file "${plugins}opus.so"
        want gstreamer1.0-plugins-good has_file "${plugins}rtp.so"
        want gstreamer1.0-alsa has_file "${plugins}alsa.so"
        want gstreamer1.0-pulseaudio has_file "${plugins}pulseaudio.so"
    fi
}

# ---- apt, as root, through sudo, or not at all

APT=()
find_apt() {
    has_command apt-get || return 1
    local options=(-o DPkg::Lock::Timeout=300 -o APT::Install-Recommends=false -o Dpkg::Use-Pty=0)
    if ((EUID == 0)); then
        APT=(env DEBIAN_FRONTEND=noninteractive apt-get -q "${options[@]}")
    elif has_command sudo && { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
        APT=(sudo env DEBIAN_FRONTEND=noninteractive apt-get -q "${options[@]}")
    else
        return 1
    fi
}

as_root() { if ((EUID == 0)); then "$@"; else sudo "$@"; fi; }

# What installing would take away, one name a line. Fails where a package is unknown.
would_remove() {
    local plan
    plan=$(LC_ALL=C apt-get -s -o APT::Install-Recommends=false install "$@" 2>/dev/null) || return 1
    awk '$1 == "Remv" { print $2 }' <<<"$plan"
}

quietly() {
    local log
    log=$(mktemp)
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

apt_install() {
    quietly "${APT[@]}" -y --no-remove install "$@" && return
    say "trying again with fresh package lists"
    quietly "${APT[@]}" update && quietly "${APT[@]}" -y --no-remove install "$@"
}

# Keep of WANTED what apt knows and what removes nothing that is installed: a sound server, above all.
sift_wanted() {
    local package removed kept=()
    for package in "${WANTED[@]}"; do
        if ! removed=$(would_remove "$package"); then
            say "$package: not to be had here; going on without"
        elif [[ -n $removed ]]; then
            say "$package would remove $(xargs <<<"$removed"): left alone. Cards that are missing are simulated by files"
        else
            kept+=("$package")
        fi
    done
    WANTED=("${kept[@]}")
}

install_system() {
    find_apt || { without_apt; return; }
    say "installing ${MISSING[*]} ${WANTED[*]} (apt-get)"
    [[ " ${WANTED[*]}" != *" ceph-"* ]] || say "ceph, an S3 server for the tests: 65 MB to fetch, 250 MB on the disk"
    if ! would_remove "${MISSING[@]}" "${WANTED[@]}" >/dev/null; then
        say "fetching package lists (apt-get update)"
        quietly "${APT[@]}" update || die "apt-get update failed: see above"
    fi
    sift_wanted
    if ((${#MISSING[@]})) && ! apt_install "${MISSING[@]}"; then
        die "apt-get could not install: ${MISSING[*]}"
    fi
    if ((${#WANTED[@]})); then
        apt_install "${WANTED[@]}" || say "apt-get could not install: ${WANTED[*]}; going on without"
        [[ " ${WANTED[*]} " != *" pulseaudio "* ]] || keep_cards_free
        [[ " ${WANTED[*]} " != *" postgresql "* ]] || keep_off "the tests" postgresql.service
        [[ " ${WANTED[*]} " != *" mosquitto "* ]] || keep_off "simulated runs and the tests" mosquitto.service
        [[ " ${WANTED[*]} " != *" ceph-"* ]] || keep_off "the tests" ceph.target ceph-crash.service
    fi
}

without_apt() {
    local all="${MISSING[*]} ${WANTED[*]}"
    if ((${#MISSING[@]} == 0)); then
        say "not installed, neither root nor sudo: ${WANTED[*]}; going on without"
    elif has_command apt-get; then
        die "neither root nor sudo; first: apt-get install --no-install-recommends $all"
    else
        die "not a Debian system; install what these Debian packages hold: $all"
    fi
}

# The virtual cards are private daemons. The one that Debian would start for each login is not needed, and
# would hold the gateway's own sound cards.
keep_cards_free() {
    if has_command systemctl && as_root systemctl --global disable pulseaudio.service pulseaudio.socket >/dev/null 2>&1; then
        say "pulseaudio is there for virtual cards only: its service for each login is switched off"
    fi
}

# Debian starts a server with its package. Nobody asked for it: a run, or the tests, start their own.
keep_off() {
    local whom=$1 unit
    shift
    for unit in "$@"; do
        if has_command systemctl && as_root systemctl disable --now "$unit" >/dev/null 2>&1; then
            say "${unit%.*} is there for $whom only: Debian's own is switched off"
        fi
    done
}

# ---- the virtual environment

# What builds the packages that come as source goes first, so that every tool that had a hand in it is pinned.
# PYPI=1 makes lgpio's source build the C library that it carries.
install_python() {
    if [[ -e $VENV && ! -w $VENV ]]; then
        die "$VENV belongs to $(stat -c %U $VENV): remove it as that user (make clean), or run make as that user"
    fi
    if ! $VENV/bin/python -c 'import pip' 2>/dev/null || ! made_by "$python"; then
        say "making $VENV with $("$python" -V)"
        quietly "$python" -m venv --clear $VENV || die "$python could not make a virtual environment"
    fi
    rm -f "$STAMP"
    local pip=("$VENV/bin/python" -m pip --disable-pip-version-check --no-input install -q)
    local pins=() file
    for file in "${REQUIREMENTS[@]}"; do pins+=(-r "$file"); done
    local builders
    mapfile -t builders < <(grep -hE '^(setuptools|swig|numpy|Cython)==' "${REQUIREMENTS[@]}" | sed 's/ *#.*//')
    say "installing the packages pinned in ${REQUIREMENTS[*]} (pip; some are compiled)"
    if ! { quietly "${pip[@]}" "${builders[@]}" \
        && PATH="$PWD/$VENV/bin:$PATH" PYPI=1 quietly "${pip[@]}" --no-build-isolation --use-pep517 "${pins[@]}" \
        && quietly "${pip[@]}" --no-build-isolation --no-deps -e .; }; then
        die "pip could not install the packages: see above"
    fi
    fingerprint "${REQUIREMENTS[@]}" >"$STAMP"
    fingerprint requirements.txt >$VENV/.setup-run # which every level includes
    say "ready: $($VENV/bin/python -V), $VENV"
}

look_around
((${#MISSING[@]} + ${#WANTED[@]} == 0)) || install_system
look_around
[[ -n $python ]] || die "EchoStream needs Python 3.11, 3.12 or 3.13; this system has $(python3 -V 2>&1 || true)"
((${#MISSING[@]} == 0)) || die "$python still lacks what these packages hold: ${MISSING[*]}"
install_python
