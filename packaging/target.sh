# shellcheck shell=bash
# For build_deb.sh and build_release.sh: a tree for this machine, or for another Debian in a root made for it.
#
#   --for SUITE/ARCH    bookworm/arm64, trixie/amd64, ...: as root; needs mmdebstrap, and for another architecture
#                       qemu-user-static with binfmt
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

BUILD_PACKAGES=(python3 python3-venv python3-dev gcc libc6-dev portaudio19-dev libportaudio2 libopus0)
export DIST=$REPOSITORY/dist

SUITE='' ARCH=''
read_target() {
    while (($#)); do
        case $1 in
            --for)
                [[ ${2:-} =~ ^(bookworm|trixie)/(amd64|arm64)$ ]] \
                    || { say "--for SUITE/ARCH: bookworm or trixie, amd64 or arm64 (bookworm/arm64)"; exit 2; }
                SUITE=${BASH_REMATCH[1]} ARCH=${BASH_REMATCH[2]}
                shift 2
                ;;
            *)
                say "unknown: $1; --for SUITE/ARCH is known"
                exit 2
                ;;
        esac
    done
    if [[ -z $SUITE || ($SUITE == "$(distribution)" && $ARCH == "$(architecture)" && $(id -u) -ne 0) ]]; then
        SUITE='' ARCH=$(architecture)
    fi
    ID=$(source_id)
    WORK=$(mktemp -d "${TMPDIR:-/var/tmp}/echostream-$NAME.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    export TREE=$WORK/payload/opt/echostream/versions/$ID
}

# In $WORK/payload, as it will lie on the machine. Wheels are kept in build/, so that the next time is quick.
make_tree() {
    mkdir -p "$WORK/payload"
    if [[ -z $SUITE ]]; then
        native_tree
    else
        foreign_tree
    fi
    release_value() { sed -n "s/^  \"$1\": \"\(.*\)\",\?$/\1/p" "$TREE/release.json"; }
}

native_tree() {
    local package missing=()
    for package in "${BUILD_PACKAGES[@]}"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]} == 0)) || die "first: sudo apt-get install --no-install-recommends ${missing[*]}"
    # Which distribution a tree is for is what its interpreter is from.
    WHEELS=$REPOSITORY/build/wheels/$(distribution)-$ARCH PYTHON=/usr/bin/python3 \
        "$HERE/build_tree.sh" "$WORK/payload" "$ID"
}

foreign_tree() {
    local root=$WORK/root wheels=$REPOSITORY/build/wheels/$SUITE-$ARCH variable keep=()
    (($(id -u) == 0)) || die "--for another system needs root: sudo"
    command -v mmdebstrap >/dev/null || die "first: apt-get install mmdebstrap qemu-user-static"
    # Made once, and kept: for another architecture it takes ten minutes.
    local kept=$REPOSITORY/build/roots/$SUITE-$ARCH.tar
    if [[ ! -s $kept ]]; then
        say "making a $SUITE/$ARCH to build in (mmdebstrap)"
        mkdir -p "$(dirname "$kept")"
        quietly mmdebstrap --variant=apt --format=tar --architectures="$ARCH" \
            --include="$(IFS=,; echo "${BUILD_PACKAGES[*]}"),ca-certificates" \
            "$SUITE" "$kept.new" "${MIRROR:-http://deb.debian.org/debian}" || die "mmdebstrap failed: see above"
        mv "$kept.new" "$kept"
    fi
    mkdir "$root"
    tar -x --numeric-owner -C "$root" -f "$kept"
    export ROOT=$root
    cp --remove-destination /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir -p "$root/source" "$root/wheels" "$wheels"
    (cd "$REPOSITORY" && tar -c --exclude=__pycache__ "${SOURCES[@]}") | tar -x -C "$root/source"
    cp -a "$wheels/." "$root/wheels/"
    # What pip was told to use here, it uses there.
    while read -r variable; do keep+=("$variable=${!variable}"); done < <(compgen -e PIP_ || true)
    if [[ -n ${PIP_CERT:-} && -f $PIP_CERT ]]; then
        mkdir -p "$root$(dirname "$PIP_CERT")"
        cp "$PIP_CERT" "$root$PIP_CERT"
    fi
    in_root env "${keep[@]}" WHEELS=/wheels PYTHON=/usr/bin/python3 /source/packaging/build_tree.sh /payload "$ID" \
        || die "the tree could not be built in $SUITE/$ARCH"
    cp -a "$root/wheels/." "$wheels/"
    cp -a "$root/payload/." "$WORK/payload/"
}

in_root() {
    # /proc is there for as long as the command runs, and for it alone.
    unshare --mount --propagation private /bin/sh -c 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"' "$ROOT" \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "$@"
}
