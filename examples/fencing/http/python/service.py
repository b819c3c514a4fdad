"""A report that only the leader of an election may write: service.py JWKS_FILE HOST:PORT."""

import http.server
import json
import sys
import threading

import jwt

ISSUER = "leasehold"
ELECTION = "jobs/report"
LEEWAY_SECONDS = 10  # Clocks differ. It isn't the time that keeps stale writers out.

with open(sys.argv[1], encoding="utf-8") as file:
    keys = jwt.PyJWKSet.from_dict(json.load(file))
lock = threading.Lock()
highest = 0
content = b""


def fence_of(token):
    """The fencing token that a task token vouches for."""
    key = keys[jwt.get_unverified_header(token).get("kid")]
    required = {"require": ["iss", "exp", "election", "fence"]}
    claims = jwt.decode(
        token, key, algorithms=["EdDSA"], issuer=ISSUER, leeway=LEEWAY_SECONDS, options=required
    )
    if claims["election"] != ELECTION:
        raise jwt.InvalidTokenError(f"it is for {claims['election']}")
    return claims["fence"]


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, content)

    def do_PUT(self):
        global highest, content
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            fence = fence_of(self.headers.get("Authorization", "").removeprefix("Bearer "))
        except (jwt.InvalidTokenError, KeyError) as error:
            return self.answer(401, f"not a leader's task token: {error}\n".encode())
        with lock:
            if fence < highest:
                why = f"stale fencing token {fence}: {highest} has written\n"
                return self.answer(409, why.encode())
            highest, content = fence, body
        self.answer(200, b"written\n")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


host, port = sys.argv[2].rsplit(":", 1)
server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
print(f"listening on {host}:{server.server_port}", flush=True)
server.serve_forever()
