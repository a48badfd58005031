"""Makes the webhook and the trigger in Zendesk, and prints the webhook's signing secret. Python 3.8 or newer, nothing to install.

    ZENDESK_TOKEN=… python3 set-up.py https://contoso.zendesk.com admin@contoso.example https://courier.example 360001234567

The last word is the id of the ticket field that holds Intune's id of the device. ZENDESK_TOKEN is an administrator's API token. A webhook of the
same name is used again, so that a second run changes nothing but the trigger it makes: delete the old one.
"""

import base64, json, os, pathlib, sys, urllib.error, urllib.request

NAME = "graph-courier"

def call(method, url, body=None):
    token = base64.b64encode(f"{sys.argv[2]}/token:{os.environ['ZENDESK_TOKEN']}".encode()).decode()
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"authorization": f"Basic {token}", "content-type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        sys.exit(f"{method} {url}: {error.code} {error.read().decode(errors='replace')[:1000]}")
    except urllib.error.URLError as error:
        sys.exit(f"{method} {url}: {error.reason}")

def main():
    if len(sys.argv) != 5 or "ZENDESK_TOKEN" not in os.environ:
        sys.exit(__doc__)
    zendesk, _, courier, field = sys.argv[1:]
    body = (pathlib.Path(__file__).parent / "retire-device.json").read_text()
    body = body.replace("DEVICE_FIELD", field).replace("https://contoso.zendesk.com", zendesk)

    known = call("GET", f"{zendesk}/api/v2/webhooks?filter[name_contains]={NAME}")["webhooks"]
    webhook = next((one for one in known if one["name"] == NAME), None)
    webhook = webhook or call("POST", f"{zendesk}/api/v2/webhooks", {"webhook": {
        "name": NAME, "status": "active", "endpoint": f"{courier}/v1/operations", "http_method": "POST",
        "request_format": "json", "subscriptions": ["conditional_ticket_events"],
    }})["webhook"]
    # The trigger sets the tag whose absence is its condition, so that it fires once for a ticket.
    trigger = call("POST", f"{zendesk}/api/v2/triggers", {"trigger": {
        "title": "Ask graph-courier to retire a device",
        "conditions": {"all": [
            {"field": "current_tags", "operator": "includes", "value": "retire_device"},
            {"field": "current_tags", "operator": "not_includes", "value": "graph_courier_asked"},
        ], "any": []},
        "actions": [
            {"field": "current_tags", "value": "graph_courier_asked"},
            {"field": "notification_webhook", "value": [webhook["id"], body]},
        ],
    }})["trigger"]
    secret = call("GET", f"{zendesk}/api/v2/webhooks/{webhook['id']}/signing_secret")["signing_secret"]["secret"]
    print(f"webhook {webhook['id']}, trigger {trigger['id']}; graph-courier's ZENDESK_NEW is:\n{secret}")

if __name__ == "__main__":
    main()
