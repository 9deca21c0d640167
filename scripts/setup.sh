# What the scripts beside it share; they source it after setting `root`. It prints on stderr only: stdout is the program's.
# shellcheck shell=sh disable=SC2034,SC2154  # names given and taken across the files

venv=$root/.venv
python=/usr/bin/python3 # the distribution's: another one (pyenv, conda) would not see its GStreamer binding

# What reading a video takes; the element tables in edge_alpr/camera say which element is in which package.
read_packages='python3 python3-gi python3-gst-1.0 gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0
    gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-libav'
# With what makes the virtual environment; an image holds one that is made already.
run_packages="$read_packages python3-venv"
# What the tests add: an H.264 encoder, an RTSP server, gst-launch-1.0, a check of these scripts, a compiler for the stand-ins
# of NVIDIA's libraries and for power cuts, a TPM in software with its tools, an MQTT broker, gpsd with what feeds it a recording,
# speech and a player, RAUC with what makes bundles, a token in software, the image's firewall, and a browser (Ubuntu has it as a
# snap only: there the tests of the label page are skipped).
test_packages='systemd gstreamer1.0-plugins-ugly gir1.2-gst-rtsp-server-1.0 gstreamer1.0-tools shellcheck gcc libc6-dev
    swtpm tpm2-tools mosquitto gpsd python3-gps espeak-ng alsa-utils rauc squashfs-tools dbus softhsm2
    libengine-pkcs11-openssl nftables'
! grep -qsx 'ID=debian' /etc/os-release || test_packages="$test_packages chromium"

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

fail() {
    say "$@"
    exit 2
}

# The first comment lines of a script are its help.
show_help() { sed -n '2,/^$/s/^# \{0,1\}//p' "$0"; }

# Those of the named packages that are not installed, with a space before each.
missing_packages() {
    # shellcheck disable=SC2016  # the fields are dpkg-query's
    there=" $(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "$@" 2>/dev/null |
        sed -n 's/ installed$//p' | tr '\n' ' ')"
    for package; do
        case $there in
        *" $package "*) ;;
        *) printf ' %s' "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@" >&2
    else
        sudo "$@" >&2
    fi
}

# need_packages WHY PACKAGE…: install what is missing. Where nothing is, neither apt-get nor sudo is called.
need_packages() {
    why=$1
    shift
    command -v apt-get >/dev/null ||
        fail "this is neither Debian nor Ubuntu (no apt-get); use Debian 12 or Ubuntu 22.04 or newer, or Dockerfile.jetson"
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    with=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null ||
            fail "neither root nor sudo here; have root run: apt-get install --no-install-recommends$missing"
        with=' with sudo'
    fi
    say "installing$with from the distribution ($why):$missing"
    # A fresh machine may be updating itself: wait for dpkg's lock rather than fail.
    set -- env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0
    as_root "$@" update || say "the package lists could not be brought up to date; trying with those that are here"
    # shellcheck disable=SC2086  # one word a package
    as_root "$@" install --no-install-recommends $missing ||
        fail "apt-get could not install$missing (its reason is above; on Ubuntu they are in main and universe)"
}

base_python='import sys; print(sys.base_prefix, sys.version_info[:2])'

# Whether .venv is whole, sees the system's packages, and is of the distribution's Python as it is today.
venv_is_good() {
    grep -qs '^include-system-site-packages = true' "$venv/pyvenv.cfg" &&
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 &&
        [ "$("$venv/bin/python" -c "$base_python")" = "$("$python" -c "$base_python")" ]
}

# An environment that these scripts made is made again where it is broken or of an older Python; another's is only named.
make_venv() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
        fail "$python is missing or older than 3.10; use Debian 12 or Ubuntu 22.04 or newer"
    if venv_is_good; then return; fi
    [ ! -e "$venv" ] || [ -e "$venv/.made-by-scripts" ] ||
        fail "$venv was not made from $python with --system-site-packages; move it away and run this again"
    rm -rf "$venv"
    { mkdir "$venv" && : >"$venv/.made-by-scripts" && "$python" -m venv --system-site-packages "$venv" >&2; } ||
        fail "$python could not make $venv (the reason is above)"
}

# need_project run|test|train: the project, editable, with all it imports, in .venv. Skipped while the interpreter, the
# place and pyproject.toml are those of the stamp.
need_project() {
    state="$(readlink -f "$python") $root $(cksum <"$root/pyproject.toml")"
    [ "$(cat "$venv/.stamp-$1" 2>/dev/null)" != "$state" ] || return 0
    make_venv
    case $1 in
    run) what=. ;;
    *) what=".[$1]" ;;
    esac
    say "installing edge-alpr${what#.} with its Python packages into $venv (some 200 MB to fetch the first time)"
    quiet=--quiet
    [ ! -t 2 ] || quiet=
    # shellcheck disable=SC2086  # $quiet is one word or none
    (cd "$root" && "$venv/bin/python" -m pip install $quiet --disable-pip-version-check --no-input -e "$what" >&2) ||
        fail "pip could not install the project (the reason is above); mend it and run this again"
    "$venv/bin/python" -c 'import gi, numpy; gi.require_version("Gst", "1.0"); from gi.repository import Gst' >&2 ||
        fail "$venv does not see GStreamer's Python binding; move $venv away and run this again"
    printf '%s\n' "$state" >"$venv/.stamp-$1"
    printf '%s\n' "$state" >"$venv/.stamp-run"
}
