#!/usr/bin/env bash
# Checks a Terraform configuration without an account and without Terraform's registry; exits with 0 if all is well.
#
#   local/terraform/check.sh [FOLDER]     infra/, or a copy of it
#
# What it checks with is what `local/setup.sh terraform` has installed.
set -euo pipefail
folder=$(cd "${1:-"$(dirname "${BASH_SOURCE[0]}")/../../infra"}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
tools=$PWD/.local/cache/terraform

export TF_CLI_CONFIG_FILE=$tools/terraformrc TF_IN_AUTOMATION=1 CHECKPOINT_DISABLE=1

step() { printf '\n== %s\n' "$*"; }
# Each run warns that it uses the stand-in, which is what it is here for. One that fails is shown whole.
quietly() {
    local said
    said=$("$@" -no-color 2>&1) || { printf '%s\n' "$said"; return 1; }
    sed '/^[│╷╵]/d;/^$/d;/development overrides/,/published releases\./d' <<<"$said"
}

step 'form'
terraform fmt -check -diff -recursive "$folder"
step 'routes of the load balancer'
.venv/bin/python -m local.terraform.url_map - | diff "$folder/routes.tf.json" - ||
    { echo 'infra/routes.tf.json is not what the code makes: python -m local.terraform.url_map' >&2; exit 1; }
for each in "$folder" "$folder/bootstrap"; do
    step "schema: ${each#"$(dirname "$folder")"/}"
    (cd "$each" && quietly terraform validate)
done
step 'tests with a mocked provider'
(cd "$folder" && quietly terraform test)
step 'checkov'
"$tools/venv/bin/python" "$tools/venv/bin/checkov" --directory "$folder" --framework terraform --compact --quiet \
    --skip-download
echo 'infra: all checks passed'
