"""An upstream that fails as its URL says, for trying out retries.

    python3 docs/examples/flaky.py 127.0.0.1:8082

    /503,503,200/any   answers 503 twice, and 200 from then on; each path by itself
    /429@1,200/any     the same with Retry-After: 1
    /drop,200/any      takes the first request and hangs up without an answer
    /file/any          100,000 bytes with an ETag, of which half come at first
    /events/any        events 1 to 4 with ids, two on each connection
"""

import collections
import http.server
import json
import sys

times = collections.Counter()


class Flaky(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body together

    def do_GET(self):
        kind = self.path.split("/")[1]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        if kind == "file":
            return self.file()
        if kind == "events":
            return self.events()
        turns = kind.split(",")
        turn = turns[min(times[self.path], len(turns) - 1)]
        times[self.path] += 1
        if turn == "drop":
            self.close_connection = True
            return
        status, _, wait = turn.partition("@")
        told = {"attempt": times[self.path], "key": self.headers.get("Idempotency-Key"), "body": body}
        self.answer(int(status), {"Retry-After": wait} if wait else {}, json.dumps(told).encode())

    do_POST = do_PUT = do_PATCH = do_GET

    def answer(self, status, headers, body, length=None):
        self.send_response(status)
        self.send_header("Content-Length", len(body) if length is None else length)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def file(self):
        whole = bytes(range(250)) * 400
        headers = {"ETag": '"v1"', "Accept-Ranges": "bytes"}
        span = self.headers.get("Range")
        if span:
            first = int(span.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {first}-{len(whole) - 1}/{len(whole)}"
            self.answer(206, headers, whole[first:])
        else:
            self.answer(200, headers, whole[: len(whole) // 2], len(whole))
            self.close_connection = True  # short of what it announced

    def events(self):
        seen = int(self.headers.get("Last-Event-ID", 0))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for n in range(seen + 1, min(seen + 2, 4) + 1):
            event = f"id: {n}\ndata: event {n}\n\n"
            self.wfile.write(f"{len(event):x}\r\n{event}\r\n".encode())
        if seen + 2 >= 4:
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True  # without its last chunk, a body is cut short

    def log_message(self, *_):
        pass


host, _, port = sys.argv[1].partition(":")
http.server.ThreadingHTTPServer((host, int(port)), Flaky).serve_forever()
