#!/usr/bin/env bash
# Install EchoStream as a service, or put a new version on trial where one is installed. As root.
#
#   from a clone (sudo make install)   builds this version here: needs the network, and gcc
#   from a release archive             what is in it is installed: needs neither
#
# Run twice, it changes nothing. Configuration (/etc/echostream) and data (/var/lib/echostream) are never overwritten.
. "$(dirname "$0")/common.sh"

((EUID == 0)) || die "run it as root: sudo ${BASH_SOURCE[0]}"
command -v apt-get >/dev/null || die "this is for Debian and Raspberry Pi OS; elsewhere: make run, docs/running.md"
umask 022

RUN=(libportaudio2 libopus0)
BUILD=(python3-venv python3-dev gcc libc6-dev portaudio19-dev)
VERSIONS=/opt/echostream/versions

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

apt_get() {
    quietly env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Those of the packages named that are not there.
MISSING=()
find_missing() {
    local package
    MISSING=()
    for package in "$@"; do installed "$package" || MISSING+=("$package"); done
}

# What the archive carries and the machine does not have: nothing of it is replaced.
install_carried() {
    local package carried=()
    for package in "$HERE"/packages/*.deb; do
        installed "$(dpkg-deb -f "$package" Package)" || carried+=("$package")
    done
    apt_get install --no-install-recommends --no-remove "${carried[@]}"
}

# The system packages that are missing, from the archive's own folder where it has them.
need_packages() {
    local missing=()
    find_missing "$@"
    ((${#MISSING[@]})) || return 0
    say "installing ${MISSING[*]} (apt-get)"
    if [[ -d $HERE/packages ]] && install_carried; then
        find_missing "$@"
        ((${#MISSING[@]})) || return 0
        say "the archive does not hold ${MISSING[*]}"
    fi
    missing=("${MISSING[@]}")
    if ! apt-get -s --no-install-recommends install "${missing[@]}" >/dev/null 2>&1; then
        say "fetching package lists (apt-get update)"
        apt_get update || die "apt-get update failed: see above"
    fi
    apt_get install --no-install-recommends --no-remove "${missing[@]}" && return
    # A list of last week names packages that are no longer there.
    say "trying again with fresh package lists"
    if ! { apt_get update && apt_get install --no-install-recommends --no-remove "${missing[@]}"; }; then
        die "apt-get could not install: ${missing[*]}"
    fi
}

complete() { [[ -s $VERSIONS/$1/release.json ]]; }

check_archive() {
    local key want have
    (cd "$HERE" && sha256sum --quiet -c SHA256SUMS) || die "the archive is damaged: fetch it again"
    for key in arch distribution; do
        want=$(sed -n "s/^  \"$key\": \"\(.*\)\",\?$/\1/p" "$HERE/tree/release.json")
        have=$(if [[ $key == arch ]]; then architecture; else distribution; fi)
        [[ $want == "$have" ]] || die "this archive is for $want, this machine is $have: fetch the one for it"
    done
}

place_archive() {
    rm -rf "$VERSIONS/.placing-$ID"
    mkdir -p "$VERSIONS"
    cp -a --no-preserve=ownership "$HERE/tree" "$VERSIONS/.placing-$ID"
    chmod -R go-w "$VERSIONS/.placing-$ID"
    sync -f "$VERSIONS"
    rm -rf "${VERSIONS:?}/$ID"
    mv -T "$VERSIONS/.placing-$ID" "$VERSIONS/$ID"
}

if [[ -d $HERE/tree ]]; then
    check_archive
    ID=$(sed -n 's/^  "id": "\(.*\)",$/\1/p' "$HERE/tree/release.json")
    need_packages python3 "${RUN[@]}"
    complete "$ID" || place_archive
else
    ID=$(source_id)
    need_packages python3 "${RUN[@]}"
    if ! complete "$ID"; then
        need_packages "${BUILD[@]}"
        "$HERE/build_tree.sh" / "$ID"
    fi
fi
cd /
"$VERSIONS/$ID/bin/python" -P -m echostream.deploy.apply --method source "$@"
echo "How this machine is (echostream doctor --quick):"
echo
"$VERSIONS/$ID/bin/echostream" doctor --quick --config /etc/echostream/config.json || true
