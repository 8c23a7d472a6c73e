#!/usr/bin/env bash
# A Debian package in dist/: one version with everything it needs but Debian's own packages; no network when installed.
#
#   packaging/build_deb.sh [--for bookworm/arm64]      default: for this machine
#
# Its payload is a tree below /opt/echostream/versions and the command /usr/bin/echostream. Units, udev rules and users
# are placed by postinst, with the switch to the version: until then those of the version that runs stay in force.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/target.sh"

read_target "$@"
make_tree

case $(release_value distribution) in
    bookworm) suffix='~deb12' ;;
    trixie) suffix='~deb13' ;;
    *) die "packages are made for Debian 12 and 13, not for $(release_value distribution)" ;;
esac
python=$(release_value python)
version=$(package_version)$suffix
package=$WORK/payload
file=$DIST/echostream_${version}_$ARCH.deb

mkdir -p "$package/DEBIAN" "$package/usr/bin" "$package"/usr/share/{doc/echostream,lintian/overrides}

# ---- what there is to know about it

cat >"$package/DEBIAN/control" <<CONTROL
Package: echostream
Version: $version
Architecture: $ARCH
Maintainer: ${DEBFULLNAME:-EchoStream maintainers} <${DEBEMAIL:-maintainers@echostream.invalid}>
Section: comm
Priority: optional
Depends: python$python, libportaudio2, libopus0, libstdc++6, libgcc-s1, libc6 (>= 2.36), systemd (>= 252)
Recommends: udev
Suggests: alsa-utils, mosquitto
Installed-Size: $(du -sk --exclude=DEBIAN "$package" | cut -f1)
Description: gateway that puts radios and microphones on encrypted voice channels
 Push-to-talk, squelch or voice opens a channel; Opus and AES-256-GCM carry it;
 what others say keys the radio. Pages are heard, recorded and told to people.
 .
 The package brings its own Python environment for Python $python. An upgrade
 keeps the version before and goes back to it by itself where the new one is
 not as good.
CONTROL

for script in preinst postinst prerm postrm; do
    sed "s|@ID@|$ID|g" "$HERE/deb/$script" >"$package/DEBIAN/$script"
    chmod 755 "$package/DEBIAN/$script"
done

sed "s|@YEAR@|$(date -u +%Y)|" "$HERE/deb/copyright" >"$package/usr/share/doc/echostream/copyright"
changelog() {
    echo "echostream ($version) stable; urgency=medium"
    echo
    echo "  * Built from version $ID. What changed: changelog.gz."
    echo
    echo " -- ${DEBFULLNAME:-EchoStream maintainers} <${DEBEMAIL:-maintainers@echostream.invalid}>  $(LC_ALL=C date -u -R)"
}
changelog | gzip -9n >"$package/usr/share/doc/echostream/changelog.Debian.gz"
gzip -9nc "$REPOSITORY/CHANGELOG.md" >"$package/usr/share/doc/echostream/changelog.gz"
ln -s "/opt/echostream/versions/$ID/share/echostream/docs" "$package/usr/share/doc/echostream/docs"
mkdir -p "$package/usr/share/man/man1"
gzip -9nc "$HERE/deb/echostream.1" >"$package/usr/share/man/man1/echostream.1.gz"
cp "$HERE/deb/lintian-overrides" "$package/usr/share/lintian/overrides/echostream"

# The same as deploy/apply.py would make.
"$TREE/bin/python" -P -c 'import sys
from echostream.deploy.apply import WRAPPER
sys.stdout.write(WRAPPER)' >"$package/usr/bin/echostream" 2>/dev/null \
    || sed -n '/^WRAPPER: Final = """\\$/,/^"""$/p' "$REPOSITORY/echostream/deploy/apply.py" | sed '1d;$d' \
        >"$package/usr/bin/echostream"

chmod -R u+rwX,go+rX,go-w "$package"
chmod 755 "$package/usr/bin/echostream"
(cd "$package" && find opt usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)

quietly dpkg-deb --root-owner-group -Zxz -z3 --build "$package" "$WORK/made.deb" || die "dpkg-deb failed: see above"
put_into_dist "$WORK/made.deb" "$file"
say "made ${file#"$REPOSITORY"/}: $(du -m "$file" | cut -f1) MB; install it with: apt install ./${file##*/}"
