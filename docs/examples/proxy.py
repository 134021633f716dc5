"""A forward proxy for trying things out: it takes CONNECT and absolute-form GET.

    python3 docs/examples/proxy.py 127.0.0.1:3128
    python3 docs/examples/proxy.py 127.0.0.1:3129 name password
"""

import base64
import http.server
import selectors
import socket
import sys
import urllib.error
import urllib.request

wanted = "Basic " + base64.b64encode(":".join(sys.argv[2:4]).encode()).decode() if sys.argv[2:] else None


class Proxy(http.server.BaseHTTPRequestHandler):
    def do_CONNECT(self):
        if self.refused():
            return
        host, _, port = self.path.rpartition(":")
        try:
            far = socket.create_connection((host.strip("[]"), int(port)), timeout=5)
        except OSError:
            return self.send_error(502)
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        near = self.connection
        with selectors.DefaultSelector() as ready, far:
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            while True:
                for key, _ in ready.select():
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)

    def do_GET(self):
        if self.refused():
            return
        asked = urllib.request.Request(self.path, headers={"Via": "1.1 proxy.py"})
        try:
            answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked)
        except urllib.error.HTTPError as err:  # an answer too
            answer = err
        with answer:
            body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refused(self):
        if wanted is None or self.headers.get("Proxy-Authorization") == wanted:
            return False
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="proxy.py"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return True

    def log_message(self, *_):
        pass


host, _, port = sys.argv[1].partition(":")
http.server.ThreadingHTTPServer((host, int(port)), Proxy).serve_forever()
