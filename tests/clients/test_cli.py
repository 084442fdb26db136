"""The `openstack messaging` commands, logged in at a Keystone.

A command takes seconds to start, so this is one story for each resource; the other scripts go into
the corners.
"""

import json
import os
import subprocess
import sys
import unittest
import uuid
from pathlib import Path

import support
from fake_keystone import FakeKeystone
from support import ZAQAR_URL, fresh

OPENSTACK = Path(sys.executable).parent / "openstack"
LIMIT_S = 60


class CliTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.keystone = cls.enterClassContext(FakeKeystone(ZAQAR_URL))

    def setUp(self):
        self.client_id = uuid.uuid4().hex
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("OS_")
        }
        self.environment |= {
            "OS_AUTH_TYPE": "password",
            "OS_AUTH_URL": self.keystone.url,
            "OS_USERNAME": "user",
            "OS_PASSWORD": "any",
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_ID": fresh("project"),
            "OS_REGION_NAME": "RegionOne",
            "OS_IDENTITY_API_VERSION": "3",
            "OS_MESSAGE_CLIENT_ID": self.client_id,
        }

    def run_command(self, *arguments):
        return subprocess.run(
            [OPENSTACK, "messaging", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def openstack(self, *arguments):
        """What a command prints; it must succeed."""
        done = self.run_command(*arguments)
        command = " ".join(arguments)
        self.assertEqual(0, done.returncode, f"`openstack messaging {command}`: {done.stderr}")
        return done.stdout

    def table(self, *arguments):
        """What a command prints, as data."""
        return json.loads(self.openstack(*arguments, "--format", "json"))

    def test_the_service(self):
        self.assertEqual(True, self.table("ping")["Pingable"])
        home = json.loads(self.openstack("homedoc"))
        self.assertIn("rel/messages", home["resources"])

    def test_the_life_of_a_queue(self):
        queue = fresh("queue")
        self.assertEqual({"Name": queue}, self.table("queue", "create", queue))
        self.assertEqual([{"Name": queue}], self.table("queue", "list"))

        self.openstack("queue", "set", "metadata", queue, '{"owner": "me"}')
        metadata = self.table("queue", "get", "metadata", queue)["Metadata"]
        self.assertEqual("me", metadata["owner"])

        self.openstack("message", "post", queue, '[{"body": "a", "ttl": 300}]')
        stats = self.table("queue", "stats", queue)["Stats"]
        self.assertEqual(1, stats["messages"]["total"])
        self.openstack("queue", "purge", queue)
        stats = self.table("queue", "stats", queue)["Stats"]
        self.assertEqual(0, stats["messages"]["total"])

        self.openstack("queue", "delete", queue)
        self.assertEqual([], self.table("queue", "list"))

    def test_the_life_of_messages_under_a_claim(self):
        queue = fresh("queue")
        self.openstack("queue", "create", queue)
        posted = [{"body": {"n": 1}, "ttl": 300}, {"body": {"n": 2}, "ttl": 300}]
        self.openstack("message", "post", queue, json.dumps(posted))
        listed = self.table("message", "list", queue, "--echo")
        self.assertEqual([{"n": 1}, {"n": 2}], [message["Body"] for message in listed])

        claimed = self.table("claim", "create", queue, "--ttl", "120", "--limit", "1")
        self.assertEqual([{"n": 1}], [message["Messages"] for message in claimed])
        claim = claimed[0]["Claim_ID"]
        listed = self.table("message", "list", queue, "--echo")
        self.assertEqual([{"n": 2}], [message["Body"] for message in listed])

        queried = self.table("claim", "query", queue, claim)
        self.assertEqual([{"n": 1}], [message["Message"] for message in queried])
        renewed = self.table("claim", "renew", queue, claim, "--ttl", "180")
        self.assertEqual([{"n": 1}], [message["Message"] for message in renewed])

        self.openstack("claim", "release", queue, claim)
        listed = self.table("message", "list", queue, "--echo")
        self.assertEqual([{"n": 1}, {"n": 2}], [message["Body"] for message in listed])

    def test_the_life_of_a_subscription(self):
        queue = fresh("queue")
        options = {"post_headers": {"X": "y"}}
        arguments = (queue, "http://a.example/", "600", "--options", json.dumps(options))
        made = self.table("subscription", "create", *arguments)
        subscription = made["ID"]
        expected = {"Subscriber": "http://a.example/", "TTL": 600, "Options": options}
        self.assertEqual({"ID": subscription} | expected, made)

        (listed,) = self.table("subscription", "list", queue)
        self.assertEqual((subscription, False), (listed["ID"], listed["Confirmed"]))
        self.openstack("subscription", "update", queue, subscription, "--ttl", "700")
        shown = self.table("subscription", "show", queue, subscription)
        self.assertEqual(("http://a.example/", 700), (shown["Subscriber"], shown["TTL"]))

        self.openstack("subscription", "delete", queue, subscription)
        self.assertEqual([], self.table("subscription", "list", queue))

    def test_a_queue_is_shared(self):
        queue = fresh("queue")
        arguments = ("--paths", "messages,claims", "--methods", "GET,POST", "--ttl-seconds", "600")
        signed = self.table("queue", "signed", "url", queue, *arguments)
        paths = f"/v2/queues/{queue}/claims,/v2/queues/{queue}/messages"
        self.assertEqual((paths, "GET,POST"), (signed["Paths"], signed["Methods"]))
        self.assertEqual(self.environment["OS_PROJECT_ID"], signed["Project ID"])
        self.assertRegex(signed["Signature"], "^[0-9a-f]{64}$")

    def test_a_refusal_is_an_error_that_says_why(self):
        queue = fresh("queue")
        done = self.run_command("message", "post", queue, '[{"body": "a", "ttl": 1}]')
        self.assertNotEqual(0, done.returncode)
        self.assertIn("at least 60 seconds", done.stderr)


if __name__ == "__main__":
    support.main("cli")
