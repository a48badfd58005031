#!/bin/sh
# Makes the empty container of one export and prints its URL with the SAS that graph-courier accepts: write and add, neither read nor list.
#
#   container.sh TICKET [DAYS]
#
# Needs the Azure CLI, signed in (az login) or with AZURE_STORAGE_KEY or AZURE_STORAGE_CONNECTION_STRING, and AZURE_STORAGE_ACCOUNT: the name
# of the storage account. What it prints is a secret. README.md, beside this file, says more.
set -eu

ticket=${1:?the ticket\'s key, such as RITM0012345}
days=${2:-40}
account=${AZURE_STORAGE_ACCOUNT:?the name of the storage account}

# A name has 3 to 63 lower-case letters, digits and single hyphens.
name=$(printf 'dsar-%s' "$ticket" | tr '[:upper:]' '[:lower:]' | tr -cs '[:alnum:]' - | cut -c 1-63)
name=${name%-}
# Longer than the 31 days for which an export is followed. GNU's date, else that of macOS.
expiry=$(date -u -d "+$days days" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -v "+${days}d" +%Y-%m-%dT%H:%M:%SZ)

# A container that exists is refused: Graph takes each for one export only.
az storage container create --name "$name" --auth-mode key --fail-on-exist --only-show-errors --output none
sas=$(az storage container generate-sas --name "$name" --auth-mode key --permissions acw --expiry "$expiry" --https-only --only-show-errors --output tsv)
printf 'https://%s.blob.core.windows.net/%s?%s\n' "$account" "$name" "$sas"
