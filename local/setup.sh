#!/usr/bin/env bash
# Sets up what `make` needs on Debian 12 with Python 3.11, and again only what has changed since.
#
#   local/setup.sh [orthanc] [bench]
#
# Always: the virtual environment .venv, by the hashes of requirements-dev.lock, and PostgreSQL 13 or later.
# orthanc: Orthanc with its DICOMweb plug-in, and DCMTK.   bench: nginx and wrk.
# Debian packages are installed by apt-get, which only root can; without root they must be there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian keeps Orthanc and nginx in /usr/sbin, which is not on the PATH of everybody.
PATH=$PATH:/usr/sbin
UV_VERSION=0.13.9
STAMP=.venv/.installed-from

say() { printf 'set-up: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

python_packages() {
    local wanted
    wanted=$(cat requirements-dev.lock pyproject.toml | sha256sum)
    if [ -x .venv/bin/python ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$wanted" ]; then return; fi
    if [ ! -x .venv/bin/python ]; then
        local python=${PYTHON:-python3}
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
            fail "Python 3.11 or later is needed; '$python' is not. Name another by PYTHON=/path/to/python3."
        "$python" -c 'import ensurepip' 2>/dev/null || debian_packages "Python's venv" python3-venv
        say "making the virtual environment .venv"
        "$python" -m venv .venv
    fi
    if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "$UV_VERSION" ]; then
        say "installing uv $UV_VERSION"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv==$UV_VERSION"
    fi
    say "installing the Python packages of requirements-dev.lock"
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip sync --quiet --require-hashes requirements-dev.lock
    VIRTUAL_ENV=$PWD/.venv .venv/bin/uv pip install --quiet --no-deps -e .
    printf '%s\n' "$wanted" >"$STAMP"
}

debian_packages() { # what it is, then the packages
    local what=$1
    shift
    if [ "$(id -u)" != 0 ]; then
        fail "$what is missing, and only root can install it: apt-get install --no-install-recommends $*"
    fi
    command -v apt-get >/dev/null || fail "$what is missing, and there is no apt-get to install it: $*"
    if [ -z "${APT_UPDATED:-}" ]; then
        say "apt-get update"
        apt-get update -qq >&2
        APT_UPDATED=yes
    fi
    say "installing $what: $*"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

has_postgresql() {
    local postgres version
    for postgres in /usr/lib/postgresql/*/bin/postgres "$(command -v postgres || true)"; do
        [ -x "$postgres" ] || continue
        version=$("$postgres" --version | grep -oE '[0-9]+' | head -n 1)
        [ "$version" -ge 13 ] && [ -x "$(dirname "$(readlink -f "$postgres")")/initdb" ] && return
    done
    return 1
}

has_orthanc() {
    has_commands Orthanc storescu dcmdump &&
        [ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] &&
        ls /usr/share/orthanc/plugins/*[Gg]dcm*.so >/dev/null 2>&1
}

has_bench() { has_commands nginx wrk; }

has_commands() {
    local name
    for name in "$@"; do
        command -v "$name" >/dev/null || return 1
    done
}

for argument in "$@"; do
    case $argument in
    orthanc | bench) ;;
    *) fail "unknown argument '$argument'; there are: orthanc, bench" ;;
    esac
done

python_packages
has_postgresql || debian_packages PostgreSQL postgresql
has_postgresql || fail "PostgreSQL 13 or later is needed, and this Debian has none."
for argument in "$@"; do
    case $argument in
    orthanc)
        has_orthanc || debian_packages Orthanc orthanc orthanc-dicomweb orthanc-gdcm dcmtk
        has_orthanc || fail "Orthanc is not where Debian's packages put it: see has_orthanc in this script."
        ;;
    bench) has_bench || debian_packages 'nginx and wrk' nginx wrk ;;
    esac
done
