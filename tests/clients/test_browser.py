"""A page in headless Chromium that subscribes over WebSocket and shows what arrives.

The browser is told that two sites are on this machine: one whose pages the server lets connect, as
ZAQAR_PAGE_ORIGIN names it, and one that it does not know.
"""

import http.server
import json
import os
import subprocess
import tempfile
import threading
import time
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
POLL_S = 0.05


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=PAGES)

    def log_message(self, *_):
        pass


def until(condition, what):
    """Waits until a condition holds; returns what it gave."""
    end = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what} within {PATIENCE_S} s")
        time.sleep(POLL_S)
    return found


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
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            # Both sites are here; every other name is not found, so that nothing goes out.
            f"--host-resolver-rules=MAP *.example 127.0.0.1:{port},MAP * ~NOTFOUND,EXCLUDE 127.0.0.1",
            "about:blank",
        ]
        self.log = open(Path(profile) / "log.txt", "w+b")
        self.process = subprocess.Popen(
            [BROWSER, *arguments], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log
        )
        try:
            address = until(lambda: self.debugging_address(profile), "the browser did not start")
            self.tab = websocket.create_connection(
                address, timeout=PATIENCE_S, suppress_origin=True
            )
        except BaseException:
            self.close()
            raise
        self.calls = 0

    def debugging_address(self, profile):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise AssertionError(f"the browser ended: {self.log.read().decode(errors='replace')}")
        port_file = Path(profile) / "DevToolsActivePort"
        lines = port_file.read_text().splitlines() if port_file.exists() else []
        if len(lines) < 2:
            return None
        with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=60) as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        return tabs[0]["webSocketDebuggerUrl"] if tabs else None

    def call(self, method, **parameters):
        self.calls += 1
        self.tab.send(json.dumps({"id": self.calls, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.tab.recv())
            if answer.get("id") == self.calls:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]

    def evaluate(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    def text(self, element):
        """What an element shows, once the page has it."""
        return self.evaluate(f"document.getElementById({element!r})?.textContent")

    def items(self):
        return self.evaluate("[...document.querySelectorAll('#messages li')].map(i => i.textContent)")

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.log.close()


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
        self.assertNotIn("errorText", self.browser.call("Page.navigate", url=url))
        shows = lambda: self.browser.evaluate("location.href") == url and self.browser.text("state")
        until(shows, "the page was not shown")

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
        until(lambda: self.browser.text("state") == "made", "the page did not subscribe")
        texts = ["hello", "grüße, <b>世界</b>"]
        for text in texts:
            self.post(text)
        until(lambda: self.browser.items() == texts, f"the page did not show {texts}")

    def test_a_page_of_another_origin_cannot_connect(self):
        self.open_page(OTHER_ORIGIN)
        until(lambda: self.browser.text("state") == "over", "the page was not refused")
        self.assertEqual([], self.browser.items())


if __name__ == "__main__":
    support.main("a page in Chromium")
