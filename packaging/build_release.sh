#!/usr/bin/env bash
# A release archive in dist/: one version with everything it needs, install.sh and checksums. To install it neither a
# compiler nor a network is needed: the Debian packages that it needs are in it too.
#
#   packaging/build_release.sh [--for bookworm/arm64]      default: for this machine
#
# On the machine: tar xf FILE && sudo ./NAME/install.sh; or, where EchoStream runs: sudo echostream upgrade FILE
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/target.sh"

read_target "$@"
make_tree
distribution=$(release_value distribution)
name=echostream-$ID-$distribution-$ARCH
folder=$WORK/$name

mkdir -p "$folder/packages"
mv "$TREE" "$folder/tree"
cp "$HERE"/{install.sh,uninstall.sh,common.sh} "$folder/"
cp "$REPOSITORY"/{README.md,LICENSE,CHANGELOG.md} "$folder/"

is_installed() { "${IN[@]}" dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }

# What the two libraries and Python need beyond what every Debian has. Nothing that is installed there is replaced.
wanted_packages() {
    "${IN[@]}" apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
        --no-enhances libportaudio2 libopus0 python3 | grep -E '^[a-z0-9]' | grep -vE ':(i386|armhf)$' \
        | grep -vxE 'libc6|libgcc-s1|gcc-[0-9]+-base|libcrypt1|debconf.*|cdebconf|dpkg|perl.*' | LC_ALL=C sort -u \
        | while read -r package; do ! is_installed "$package" || echo "$package"; done # of alternatives, the one taken
}
if [[ -n $SUITE ]]; then IN=(in_root); else IN=(env); fi
mapfile -t packages < <(wanted_packages)
# apt fetches as a user of its own, who must be let into the folder.
fetch=${ROOT:-}/tmp/$name
install -d -m 777 "$fetch"
if ! quietly "${IN[@]}" sh -c "cd '${fetch#"${ROOT:-}"}' && exec apt-get -q download \"\$@\"" sh "${packages[@]}"; then
    say "trying again with fresh package lists"
    { (($(id -u) != 0)) || quietly "${IN[@]}" apt-get -q update; } \
        && quietly "${IN[@]}" sh -c "cd '${fetch#"${ROOT:-}"}' && exec apt-get -q download \"\$@\"" sh "${packages[@]}" \
        || die "apt-get could not fetch ${packages[*]}: see above"
fi
mv "$fetch"/*.deb "$folder/packages/"
rmdir "$fetch"
chmod 644 "$folder"/packages/*

(cd "$folder" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >"$WORK/SHA256SUMS")
mv "$WORK/SHA256SUMS" "$folder/SHA256SUMS"
chmod -R u+rwX,go+rX,go-w "$folder"

tar -C "$WORK" --owner=0 --group=0 --numeric-owner --sort=name -czf "$WORK/made.tar.gz" "$name"
put_into_dist "$WORK/made.tar.gz" "$DIST/$name.tar.gz"
(cd "$DIST" && sha256sum "$name.tar.gz") >"$WORK/sum"
put_into_dist "$WORK/sum" "$DIST/$name.tar.gz.sha256"
say "made dist/$name.tar.gz: $(du -m "$DIST/$name.tar.gz" | cut -f1) MB"
