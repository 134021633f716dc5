"""Makes calls with the real `requests` for from_requests_test.go.

Each line of stdin is a case: {"code", "view", "names"}. The code sets `r`, of
which the view is printed, or `out`, which is printed as it is; an exception is
printed as the names of its classes. Each line of stdout is a JSON value.
"""

import base64
import json
import sys
import warnings

import requests
import urllib3

# What requests adds to a request, and fetchsvc differently or not at all.
UNASKED = {"accept", "accept-encoding", "connection", "host", "user-agent"}


def seen(r):
    """What the upstream received."""
    echo = json.loads(r.text)
    headers = {}
    for field in echo["header"] or []:
        name = field["name"].lower()
        if name not in UNASKED:
            headers.setdefault(name, []).append(field["value"])
    body = base64.b64decode(echo["body_base64"] or "").decode("latin-1")
    return {"method": echo["method"], "target": echo["request_uri"], "headers": headers, "body": body}


VIEWS = {
    "seen": seen,
    "shown": lambda r: {
        "status": r.status_code, "reason": r.reason, "url": r.url, "ok": r.ok,
        "history": [h.status_code for h in r.history], "body": r.text,
    },
    "text": lambda r: {"text": r.text, "encoding": (r.encoding or "none").lower()},
    "json": lambda r: r.json(),
    "content": lambda r: base64.b64encode(r.content).decode(),
    "cookies": lambda r: r.cookies.get_dict(),
    "links": lambda r: {rel: link["url"] for rel, link in r.links.items()},
    "headers": lambda r: {k.lower(): v for k, v in r.headers.items() if k.lower().startswith("x-")},
}


def run(case):
    scope = {"requests": requests, "urllib3": urllib3, "json": json, "seen": seen}
    scope.update(case["names"])
    try:
        exec(case["code"], scope)
        return scope["out"] if "out" in scope else VIEWS[case["view"]](scope["r"])
    except Exception as err:
        return {"raised": [c.__name__ for c in type(err).__mro__]}


warnings.simplefilter("ignore")
for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
