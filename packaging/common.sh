# shellcheck shell=bash
# What the scripts of this folder share. To be read by them: . "$(dirname "$0")/common.sh"
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPOSITORY=$(dirname "$HERE")
NAME=$(basename "$0" .sh)

say() { echo "$NAME: $*" >&2; }
die() { say "$*"; exit 1; }

# Run something that is long-winded; show the end of what it said where it fails.
quietly() {
    local log
    log=$(mktemp)
    if ! "$@" </dev/null >"$log" 2>&1; then
        tail -n 25 "$log" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

# The system's own interpreter: one of a user's would be out of the service's reach.
system_python() {
    local candidate
    for candidate in ${PYTHON:-/usr/bin/python3 /usr/bin/python3.13 /usr/bin/python3.12 /usr/bin/python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
            # With its minor version: after an upgrade of Debian it is missing, not another one.
            "$candidate" -c 'import os, sys
named = f"{os.path.dirname(sys.executable)}/python{sys.version_info[0]}.{sys.version_info[1]}"
print(named if os.path.exists(named) else sys.executable)'
            return
        fi
    done
    return 1
}

source_version() { sed -n 's/^version = "\(.*\)"$/\1/p' "$REPOSITORY/pyproject.toml"; }

# What is built into a tree; its hash stands for a source that is no clone.
SOURCES=(echostream systemd packaging docs pyproject.toml requirements.txt README.md LICENSE)

# VERSION for a tagged commit, VERSION+gCOMMIT for another, VERSION+sHASH for what is no commit.
source_id() {
    local version commit git=(git -c "safe.directory=$REPOSITORY" -C "$REPOSITORY")
    version=$(source_version)
    if commit=$("${git[@]}" rev-parse --short=9 HEAD 2>/dev/null) \
        && [[ -z $("${git[@]}" status --porcelain -- "${SOURCES[@]}") ]]; then
        if [[ $("${git[@]}" tag --points-at HEAD) == *"v$version"* ]]; then
            echo "$version"
        else
            echo "$version+g$commit"
        fi
    else
        echo "$version+s$(source_hash)"
    fi
}

source_hash() {
    (cd "$REPOSITORY" && find "${SOURCES[@]}" -type f ! -name '*.pyc' -print0 | LC_ALL=C sort -z \
        | xargs -0 sha256sum | sha256sum | cut -c1-9)
}

distribution() { (. /etc/os-release && echo "${VERSION_CODENAME:-unknown}"); }
debian_release() { (. /etc/os-release && echo "${VERSION_ID:-0}"); }
architecture() { dpkg --print-architecture; }

# A version that grows with time, for apt: VERSION, VERSION+gitDATE.gCOMMIT, or VERSION+nowDATE.sHASH.
package_version() {
    local stamp
    [[ $ID == *+* ]] || { echo "$ID"; return; }
    stamp=$(TZ=UTC git -c "safe.directory=$REPOSITORY" -C "$REPOSITORY" log -1 --format=%cd --date=format-local:%Y%m%d%H%M%S 2>/dev/null || true)
    [[ ${ID#*+} == g* && -n $stamp ]] || stamp=$(date -u +%Y%m%d%H%M%S)
    echo "${ID%%+*}+git$stamp.${ID#*+}"
}

# At once and whole; what root made in a person's clone is that person's.
put_into_dist() {
    mkdir -p "$REPOSITORY/dist"
    cp "$1" "$REPOSITORY/dist/.${2##*/}.new"
    mv "$REPOSITORY/dist/.${2##*/}.new" "$2"
    [[ $(id -u) -ne 0 ]] || chown -R --reference="$REPOSITORY" "$REPOSITORY/dist" "$REPOSITORY/build"
}
