"""As much of Keystone as a client needs to log in and to find the messaging service.

Any user and password will do; the project is the one that is asked for. The token lasts a day.
"""

import http.server
import json
import threading

TOKEN = "gAAAAA-a-token-for-tests"
EXPIRES_AT = "2999-12-31T23:59:59.000000Z"


class FakeKeystone:
    """A context manager that serves on a free port; its address is `url`."""

    def __init__(self, messaging_url, region="RegionOne"):
        self._messaging_url = messaging_url
        self._region = region
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._server.shutdown()
        self._server.server_close()

    def version(self):
        links = [{"rel": "self", "href": self.url + "/"}]
        return {"id": "v3.14", "status": "stable", "links": links}

    def token(self, project_id):
        endpoint = {
            "id": "endpoint",
            "interface": "public",
            "region": self._region,
            "region_id": self._region,
            "url": self._messaging_url,
        }
        service = {"id": "service", "name": "zaqar", "type": "messaging", "endpoints": [endpoint]}
        domain = {"id": "default", "name": "Default"}
        return {
            "token": {
                "methods": ["password"],
                "issued_at": "2020-01-01T00:00:00.000000Z",
                "expires_at": EXPIRES_AT,
                "user": {"id": "user", "name": "user", "domain": domain},
                "project": {"id": project_id, "name": project_id, "domain": domain},
                "roles": [{"id": "member", "name": "member"}],
                "catalog": [service],
            }
        }

    def _handler(keystone):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path.rstrip("/") == "/v3":
                    self._answer(200, {"version": keystone.version()})
                else:
                    self._answer(404, {"error": {"code": 404, "message": self.path}})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v3/auth/tokens":
                    self._answer(404, {"error": {"code": 404, "message": self.path}})
                    return
                project_id = body["auth"]["scope"]["project"]["id"]
                self._answer(201, keystone.token(project_id), {"X-Subject-Token": TOKEN})

            def _answer(self, status, document, headers=None):
                content = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments):
                pass

        return Handler
