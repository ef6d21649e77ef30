#!/usr/bin/env bash
# Sets up what `make` needs on Debian 12 with Python 3.11, and again only what has changed since.
#
#   local/setup.sh [orthanc] [archivers] [clients] [keycloak] [bench] [terraform]
#
# Always: the virtual environment .venv, by the hashes of requirements-dev.lock, and PostgreSQL 13 or later.
# orthanc: Orthanc with its DICOMweb plug-in, and DCMTK.   archivers: Info-ZIP and 7-Zip.   bench: nginx and wrk.
# clients: Chromium, DCMTK, curl, and npm's dicomweb-client, which the tests drive, and what it runs on.
# keycloak: Keycloak's distribution from Maven Central, into .local/cache; Java 17 or later and Maven.
# terraform: a stand-in for Terraform's google provider, and checkov, in an environment of their own. Terraform itself
# has to be there.
# Debian packages are installed by apt-get, which only root can; without root they must be there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Debian keeps Orthanc and nginx in /usr/sbin, which is not on the PATH of everybody.
PATH=$PATH:/usr/sbin
UV_VERSION=0.13.9
KEYCLOAK_VERSION=26.7.3
KEYCLOAK_SHA256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f
# Version 8.7.0 of Terraform's google provider, as the bindings for Python describe it.
GOOGLE_PROVIDER_BINDINGS=cdktn-provider-google==21.1.0
GOOGLE_PROVIDER_SHA256=157dead5025d5db5abe48e40cc49f0b6a4d8088fd0498eb17ad5a36bca811b2a
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

has_browser() { has_commands chromium || has_commands google-chrome; }

browser_client() {
    local folder=tests/system/clients/npm
    if cmp -s $folder/package-lock.json $folder/node_modules/.installed-from; then return; fi
    has_commands npm || fail "The client that runs in browsers needs npm on the PATH; its tests will not run."
    say "installing npm's dicomweb-client by the hashes of $folder/package-lock.json"
    (cd $folder && npm ci --silent --ignore-scripts --no-audit --no-fund)
    cp $folder/package-lock.json $folder/node_modules/.installed-from
}

has_keycloak() { [ -d ".local/cache/keycloak-$KEYCLOAK_VERSION" ]; }

has_java() {
    local version
    version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ]
}

keycloak() {
    has_java || debian_packages Java default-jre-headless
    has_java || fail "Keycloak needs Java 17 or later on the PATH, and this Debian has none."
    if has_keycloak; then return; fi
    has_commands mvn || debian_packages Maven maven
    mkdir -p .local/cache
    local name=keycloak-quarkus-dist-$KEYCLOAK_VERSION.zip folder
    folder=$(mktemp -d .local/cache/unfinished.XXXXXX)
    # shellcheck disable=SC2064  # the folder's name as it is now
    trap "rm -rf '$folder'" EXIT
    say "fetching Keycloak $KEYCLOAK_VERSION (170 MB)"
    mvn --batch-mode --quiet org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        "-Dartifact=org.keycloak:keycloak-quarkus-dist:$KEYCLOAK_VERSION:zip" "-DoutputDirectory=$PWD/$folder" >&2 ||
        fail "Keycloak $KEYCLOAK_VERSION cannot be had from Maven Central; what depends on it will not run."
    printf '%s  %s\n' "$KEYCLOAK_SHA256" "$folder/$name" | sha256sum --check --status ||
        fail "Keycloak's archive is not the one that this script knows by its SHA-256."
    .venv/bin/python -m zipfile -e "$folder/$name" "$folder"
    say "building Keycloak for its own database (a minute)"
    sh "$folder/keycloak-$KEYCLOAK_VERSION/bin/kc.sh" build --db=dev-file >"$folder/log" 2>&1 ||
        { cat "$folder/log" >&2; fail "Keycloak cannot be built; its own words are above."; }
    # Whole or not at all; another run may have been faster.
    mv -T "$folder/keycloak-$KEYCLOAK_VERSION" ".local/cache/keycloak-$KEYCLOAK_VERSION" 2>/dev/null ||
        has_keycloak || fail "Keycloak cannot be put into .local/cache."
}

terraform_checks() {
    local folder=.local/cache/terraform wanted unfinished
    has_commands terraform || fail "Terraform 1.11 or later has to be on the PATH; no package here brings it."
    wanted=$({ cat local/terraform/requirements.lock local/terraform/provider_schema.py local/setup.sh; pwd; } | sha256sum)
    if [ "$(cat "$folder/installed-from" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "installing what checks infra/ (a minute)"
    mkdir -p "$folder/bin"
    rm -f "$folder/installed-from"
    [ -x "$folder/venv/bin/python" ] || .venv/bin/python -m venv --without-pip "$folder/venv"
    VIRTUAL_ENV=$PWD/$folder/venv .venv/bin/uv pip sync --quiet --require-hashes local/terraform/requirements.lock
    unfinished=$(mktemp -d .local/cache/unfinished.XXXXXX)
    # shellcheck disable=SC2064  # the folder's name as it is now
    trap "rm -rf '$unfinished'" EXIT
    .venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
        --dest "$unfinished" "$GOOGLE_PROVIDER_BINDINGS"
    (cd "$unfinished" && printf '%s  %s\n' "$GOOGLE_PROVIDER_SHA256" ./*.whl | sha256sum --check --status) ||
        fail "the bindings of the google provider are not those that this script knows by their SHA-256."
    .venv/bin/python -m local.terraform.provider_schema "$unfinished"/*.whl "$unfinished/schema.json"
    mv "$unfinished/schema.json" "$folder/schema.json"
    # What Terraform starts as the provider, and its configuration that says so.
    cat >"$folder/bin/terraform-provider-google" <<EOF
#!/bin/sh
export GOOGLE_PROVIDER_SCHEMA='$PWD/$folder/schema.json'
PYTHONPATH='$PWD' exec '$PWD/$folder/venv/bin/python' -m local.terraform.provider
EOF
    chmod +x "$folder/bin/terraform-provider-google"
    cat >"$folder/terraformrc" <<EOF
provider_installation {
  dev_overrides {
    "hashicorp/google" = "$PWD/$folder/bin"
  }
}
EOF
    printf '%s\n' "$wanted" >"$folder/installed-from"
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
    orthanc | archivers | clients | keycloak | bench | terraform) ;;
    *) fail "unknown argument '$argument'; there are: orthanc, archivers, clients, keycloak, bench, terraform" ;;
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
    archivers) has_commands unzip 7zz || debian_packages 'Info-ZIP and 7-Zip' unzip 7zip ;;
    clients)
        has_browser || debian_packages Chromium chromium fonts-dejavu-core
        has_commands node npm || debian_packages 'Node and npm' nodejs npm
        has_commands curl dcmdump || debian_packages 'curl and DCMTK' curl dcmtk
        browser_client
        ;;
    keycloak) keycloak ;;
    bench) has_bench || debian_packages 'nginx and wrk' nginx wrk ;;
    terraform) terraform_checks ;;
    esac
done
