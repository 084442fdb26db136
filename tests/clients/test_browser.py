"""A page in headless Chromium that subscribes over WebSocket and shows what arrives.

The browser is told that two sites are on this machine: one whose pages the server lets connect, as
ZAQAR_PAGE_ORIGIN names it, and one that it does not know.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import unittest
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import websocket

import support
from support import TTL_MESSAGE_S, ZAQAR_URL, fresh

BROWSER = os.environ["ZAQAR_BROWSER"]
PAGE_ORIGIN = os.environ["ZAQAR_PAGE_ORIGIN"]
OTHER_ORIGIN = "http://stranger.example"
PAGES = Path(__file__).parent.parent / "browser"
SOCKET = ZAQAR_URL.replace("http://", "ws://", 1) + "/v2/ws"
# Nothing here takes so long, unless it never comes.
PATIENCE_S = 120
# Elements of the page.
STATE = "document.getElementById('state')"
ITEMS = "document.querySelectorAll('#messages li')"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=PAGES)

    def log_message(self, *_):
        pass


class Browser:
    """A headless Chromium with one tab, which it shows by the DevTools protocol."""

    def __init__(self, profile, port):
        arguments = [
            "--headless",
            # It runs as whoever runs the tests, who may be root, and loads this page alone.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-proxy-server",
            "--no-first-run",
            "--disable-breakpad",
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            # Both sites are here; every other name is not found, so that nothing goes out.
            f"--host-resolver-rules=MAP *.example 127.0.0.1:{port},MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
            "about:blank",
        ]
        self.process = subprocess.Popen(
            [BROWSER, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # What is started may be a script that starts the browser: both are ended as one group.
            start_new_session=True,
        )
        try:
            self.tab = websocket.create_connection(
                self.new_tab(self.address()), timeout=PATIENCE_S, suppress_origin=True
            )
        except BaseException:
            self.close()
            raise
        self.calls, self.events = 0, []
        self.call("Page.enable")

    def address(self):
        """Where it listens, as it says when it does."""
        said = []
        for line in self.process.stderr:
            said.append(line)
            if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
                # What else it says is not waited for, but must not fill the pipe.
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return found[1]
        raise AssertionError(f"the browser ended: {''.join(said)}")

    def new_tab(self, address):
        request = urllib.request.Request(f"http://{address}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return json.load(answer)["webSocketDebuggerUrl"]

    def receive(self):
        said = json.loads(self.tab.recv())
        if "method" in said:
            self.events.append(said["method"])
        return said

    def call(self, method, **parameters):
        self.calls += 1
        self.tab.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while (said := self.receive()).get("id") != self.calls:
            pass
        if "error" in said:
            raise AssertionError(f"{method}: {said['error']}")
        return said["result"]

    def open(self, url):
        """Opens a page and waits until it is there."""
        self.events.clear()
        opened = self.call("Page.navigate", url=url)
        if "errorText" in opened:
            raise AssertionError(f"{url}: {opened['errorText']}")
        while "Page.loadEventFired" not in self.events:
            self.receive()

    def evaluate(self, expression):
        arguments = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        result = self.call("Runtime.evaluate", **arguments)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def until(self, condition):
        """Waits until a condition holds for the page, which is looked at when it changes."""
        self.evaluate(
            f"""new Promise((done) => {{
              const look = () => {{ if ({condition}) {{ watch.disconnect(); done(true); }} }};
              const watch = new MutationObserver(look);
              watch.observe(document, {{ subtree: true, childList: true, characterData: true }});
              look();
            }})"""
        )

    def items(self):
        return self.evaluate(f"[...{ITEMS}].map((item) => item.textContent)")

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_S)


class BrowserTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        # What has a port of its own is closed even if what follows fails.
        pages = http.server.ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler)
        cls.addClassCleanup(pages.server_close)
        cls.addClassCleanup(pages.shutdown)
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        profile = tempfile.TemporaryDirectory(prefix="zaqar-browser-", ignore_cleanup_errors=True)
        cls.addClassCleanup(profile.cleanup)
        cls.browser = Browser(profile.name, pages.server_address[1])
        cls.addClassCleanup(cls.browser.close)

    def setUp(self):
        self.queue, self.project = fresh("queue"), fresh("project")

    def open_page(self, origin):
        query = {"socket": SOCKET, "queue": self.queue, "project": self.project}
        url = f"{origin}/page.html?{urllib.parse.urlencode(query)}"
        self.browser.open(url)

    def post(self, text):
        request = urllib.request.Request(
            f"{ZAQAR_URL}/v2/queues/{self.queue}/messages",
            data=json.dumps({"messages": [{"body": text, "ttl": TTL_MESSAGE_S}]}).encode(),
            headers={
                "Client-ID": uuid.uuid4().hex,
                "X-Project-ID": self.project,
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.assertEqual(201, answer.status)

    def test_a_page_shows_what_is_posted_over_rest(self):
        self.open_page(PAGE_ORIGIN)
        self.browser.until(f"{STATE}.textContent === 'made'")
        texts = ["hello", "grüße, <b>世界</b>"]
        for text in texts:
            self.post(text)
        self.browser.until(f"{ITEMS}.length === {len(texts)}")
        self.assertEqual(texts, self.browser.items())

    def test_a_page_of_another_origin_cannot_connect(self):
        self.open_page(OTHER_ORIGIN)
        self.browser.until(f"{STATE}.textContent === 'over'")
        self.assertEqual([], self.browser.items())


if __name__ == "__main__":
    support.main("a page in Chromium")
