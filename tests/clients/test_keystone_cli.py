"""`openstack messaging …` with a real Keystone: logged in by a password, the service found in the
catalogue.

A command takes seconds to start, so this is one story; the other scripts go into the corners.
"""

import json
import os
import subprocess
import sys
import unittest
import uuid
from pathlib import Path

import support
from keystone_world import REGION, Administrator, credentials
from support import ZAQAR_URL, fresh

OPENSTACK = Path(sys.executable).parent / "openstack"
LIMIT_S = 120


def setUpModule():
    Administrator().publish(ZAQAR_URL)


class CliTest(unittest.TestCase):
    def run_command(self, user, *arguments):
        foreign = ("OS_", "KEYSTONE_")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        for name, value in credentials(user, "shop").items():
            variables[f"OS_{name.upper()}"] = value
        variables |= {
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_MESSAGE_CLIENT_ID": uuid.uuid4().hex,
        }
        return subprocess.run(
            [OPENSTACK, *arguments],
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )

    def openstack(self, user, *arguments):
        """What a command prints; it must succeed."""
        done = self.run_command(user, *arguments)
        self.assertEqual(0, done.returncode, f"`openstack {' '.join(arguments)}`: {done.stderr}")
        return done.stdout

    def test_a_member_posts_and_a_reader_may_only_look(self):
        queue = fresh("queue")
        self.openstack("mia", "messaging", "queue", "create", queue)
        post = ("messaging", "message", "post", queue, '[{"body": {"n": 1}, "ttl": 300}]')
        self.openstack("mia", *post)
        refused = self.run_command("ray", *post)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn("403", refused.stderr)
        look = ("messaging", "message", "list", queue, "--echo", "--format", "json")
        listed = json.loads(self.openstack("ray", *look))
        self.assertEqual([{"n": 1}], [message["Body"] for message in listed])


if __name__ == "__main__":
    support.main("cli with keystone")
