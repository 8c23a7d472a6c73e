#!/usr/bin/env bash
# Make one version of EchoStream, whole, as it lies in /opt/echostream/versions: a virtual environment without pip,
# with what a gateway needs and nothing else, and share/ with what belongs into the system.
#
#   packaging/build_tree.sh DEST_ROOT [ID]      makes DEST_ROOT/opt/echostream/versions/ID
#
# It needs gcc, the headers of Python and of PortAudio, and an index for pip (PIP_* of the environment is heeded).
# The tree can be moved: nothing in it has its own path, but the links to the system's interpreter.
# PYTHON=/usr/bin/python3.12 chooses that. WHEELS=DIR keeps what pip built and fetched, for the next time.
. "$(dirname "$0")/common.sh"

DEST_ROOT=${1:?build_tree.sh DEST_ROOT [ID]}
ID=${2:-$(source_id)}
[[ $ID =~ ^[0-9A-Za-z][0-9A-Za-z.+~_-]{0,99}$ ]] || die "'$ID' cannot name a version"
PLACE=/opt/echostream/versions/$ID
TREE=${DEST_ROOT%/}$PLACE
MAKING=$(dirname "$TREE")/.making-$ID

python=$(system_python) || die "Python 3.11, 3.12 or 3.13 is needed; this system has $(/usr/bin/python3 -V 2>&1 || true)"
minor=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
work=$(mktemp -d "${TMPDIR:-/var/tmp}/echostream-build.XXXXXX")
trap 'rm -rf "$work" "$MAKING"' EXIT
umask 022

# ---- wheels: of every pin, and of EchoStream itself

wheels=${WHEELS:-$work/wheels}
mkdir -p "$wheels"

# The tools that build come first, so that each of them is pinned; see requirements.txt.
make_wheels() {
    "$python" -m venv "$work/builder" || die "$python cannot make a virtual environment (Debian: python3-venv)"
    local pip=("$work/builder/bin/python" -m pip --disable-pip-version-check --no-input)
    local builders
    mapfile -t builders < <(grep -E '^(setuptools|swig)==' "$REPOSITORY/requirements.txt" | sed 's/ *#.*//')
    grep -vE '^(setuptools|swig)==' "$REPOSITORY/requirements.txt" >"$work/pins.txt"
    # What pip has kept of other interpreters' builds is not taken: its libraries may lead elsewhere.
    export PIP_CACHE_DIR=$wheels/.pip
    quietly "${pip[@]}" install wheel "${builders[@]}" || die "pip could not install what builds: see above"
    say "fetching and building the packages pinned in requirements.txt"
    PATH="$work/builder/bin:$PATH" PYPI=1 quietly "${pip[@]}" wheel --no-deps --no-build-isolation --use-pep517 \
        --find-links "$wheels" --wheel-dir "$wheels" -r "$work/pins.txt" || die "pip could not build them: see above"
    mkdir "$work/source" "$work/own"
    cp -a "$REPOSITORY"/{echostream,pyproject.toml,README.md,LICENSE} "$work/source/"
    find "$work/source" -name __pycache__ -type d -prune -exec rm -rf {} +
    quietly "${pip[@]}" wheel --no-deps --no-build-isolation --wheel-dir "$work/own" "$work/source" \
        || die "pip could not build EchoStream itself: see above"
}

install_wheels() {
    rm -rf "$MAKING"
    mkdir -p "$MAKING"
    "$python" -m venv --without-pip "$MAKING"
    quietly "$work/builder/bin/python" -m pip --disable-pip-version-check --no-input --python "$MAKING/bin/python" \
        install --no-index --no-deps --no-compile --find-links "$wheels" -r "$work/pins.txt" "$work"/own/*.whl \
        || die "pip could not install the packages: see above"
}

# ---- what a gateway never needs

strip_tree() {
    local packages=$MAKING/lib/python$minor/site-packages
    (
        cd "$packages" || exit
        find . -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
        find . -type f \( -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.h' -o -name '*.c' -o -name '*.a' \) -delete
        rm -rf numpy/f2py numpy/distutils numpy/doc matplotlib/mpl-data/sample_data
        # Amazon's description of each of its services; ours is S3.
        find botocore/data -mindepth 1 -maxdepth 1 -type d ! -name s3 -exec rm -rf {} +
    )
    # Libraries are loaded, never run; and scripts of packages are called by nobody.
    find "$packages" -type f -perm /111 -exec chmod a-x {} +
    if command -v strip >/dev/null; then
        find "$packages" -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded -p {} + 2>/dev/null || true
    fi
    find "$MAKING/bin" -mindepth 1 ! -name 'python*' -delete
    rm -rf "$MAKING/include" "$MAKING/share" "$MAKING/lib64"
    ln -sfn "$python" "$MAKING/bin/python$minor"
    ln -sfn "python$minor" "$MAKING/bin/python"
    ln -sfn "python$minor" "$MAKING/bin/python3"
    sed -i '/^command = /d' "$MAKING/pyvenv.cfg"
}

# ---- what belongs into the system, and to read

install_share() {
    local share=$MAKING/share/echostream unit
    mkdir -p "$share"/{systemd,udev,sysusers,docs}
    for unit in "$REPOSITORY"/systemd/*.{service,socket,timer,path,target}; do
        [[ ! -e $unit ]] || cp "$unit" "$share/systemd/"
    done
    [[ ! -e $REPOSITORY/systemd/echostream.udev ]] \
        || cp "$REPOSITORY/systemd/echostream.udev" "$share/udev/60-echostream.rules"
    [[ ! -e $REPOSITORY/systemd/echostream.sysusers ]] \
        || cp "$REPOSITORY/systemd/echostream.sysusers" "$share/sysusers/echostream.conf"
    cp "$HERE/config.json" "$HERE/uninstall.sh" "$share/"
    cp "$REPOSITORY"/{README.md,LICENSE} "$share/docs/"
    (cd "$REPOSITORY/docs" && find . -type f ! -name '*.py' ! -name '*.json' ! -path '*/__pycache__/*' \
        -exec cp --parents {} "$share/docs/" \;)
    cat >"$MAKING/bin/echostream" <<'SCRIPT'
#!/bin/sh
# The command line of this version, wherever its tree lies. A folder of the same name where one stands is not taken for it.
here=$(dirname "$(readlink -f "$0")")
PYTHONSAFEPATH=1 exec "$here/python" -m echostream "$@"
SCRIPT
    chmod 755 "$MAKING/bin/echostream"
}

# Compiled now, since the service cannot write here; valid whatever the files' times become.
compile_tree() {
    "$python" -m compileall -q -j 0 --invalidation-mode unchecked-hash -s "$MAKING" -p "$PLACE" \
        "$MAKING/lib/python$minor/site-packages" >"$work/compile.log" 2>&1 || say "some files do not compile: $(head -n 3 "$work/compile.log")"
}

# Each library is loaded once, so that nothing that is needed was taken away.
try_tree() {
    local modules=(numpy cryptography.hazmat.primitives.ciphers.aead pydantic websocket websockets.sync.server
        rich.live soundfile matplotlib.backends.backend_agg matplotlib.pyplot sqlalchemy.dialects.sqlite alembic.command
        psycopg zeroconf paho.mqtt.client botocore.session apprise lgpio opuslib pyaudio)
    (cd / && PYTHONDONTWRITEBYTECODE=1 MPLCONFIGDIR="$work" quietly "$MAKING/bin/python" -P -W ignore -c '
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
import botocore.session
botocore.session.get_session().create_client("s3", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")' "${modules[@]}") \
        || die "the tree does not work: see above"
    (cd / && PYTHONDONTWRITEBYTECODE=1 quietly "$MAKING/bin/echostream" --help) || die "echostream does not start: see above"
}

complete_tree() {
    chmod -R u+rwX,go+rX,go-w "$MAKING"
    ((EUID != 0)) || chown -R 0:0 "$MAKING"
    cat >"$work/release.json" <<JSON
{
  "id": "$ID",
  "version": "$(source_version)",
  "built_at": "$(date -u +%Y-%m-%dT%H:%M:%SZ)",
  "python": "$minor",
  "arch": "$(architecture)",
  "distribution": "$(distribution)"
}
JSON
    sync -f "$MAKING"
    install -m 644 "$work/release.json" "$MAKING/release.json"
    sync -f "$MAKING"
    rm -rf "$TREE"
    mv -T "$MAKING" "$TREE"
    sync -f "$TREE"
}

make_wheels
install_wheels
strip_tree
install_share
compile_tree
try_tree
complete_tree
say "made $TREE for Python $minor: $(du -sm "$TREE" | cut -f1) MB"
