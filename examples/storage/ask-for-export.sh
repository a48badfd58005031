#!/bin/sh
# One command for one person's export: makes the container, asks graph-courier, and leaves the SAS nowhere. The ticket gets the callback.
#
#   ask-for-export.sh TICKET PERSON CALLBACK_URL
#
# PERSON is the object id of the user in Entra. Needs what container.sh needs, curl and Python 3, COURIER_URL (https://courier.example), and in
# COURIER_API_KEY_FILE the name of a file with the API key of the client whose profile fits the ticket system.
set -eu
here=$(dirname "$0")

ticket=${1:?the ticket\'s key, such as RITM0012345}
person=${2:?the object id of the person in Entra}
callback=${3:?the URL that is called when the export has ended}
url=${COURIER_URL:?where graph-courier is, such as https://courier.example}
key=$(cat "${COURIER_API_KEY_FILE:?a file with the API key}")

container=$("$here/container.sh" "$ticket")
# Through pipes and file descriptors: what is in the arguments of a command can be read by everybody on the machine.
printf '%s\n' "$ticket" "$person" "$callback" "$container" | python3 -c '
import json, sys
ticket, person, callback, container = sys.stdin.read().splitlines()
json.dump({"operation": "user.exportPersonalData", "parameters": {"userId": person, "storageLocation": container},
           "callback": {"url": callback}, "reference": ticket}, sys.stdout)' |
curl --silent --show-error --fail-with-body --config /dev/fd/3 --data-binary @- "$url/v1/operations" 3<<END
header = "X-Api-Key: $key"
header = "Content-Type: application/json"
header = "Prefer: respond-async"
END
echo
