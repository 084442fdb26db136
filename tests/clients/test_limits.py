"""What python-zaqarclient and openstacksdk make of a project's limits: errors.

The server must have been started with these settings, as `cargo xtask test --only clients` does:

    ZAQAR__LIMITS__PROJECTS__CROWDED__QUEUES=1
    ZAQAR__LIMITS__PROJECTS__LIMITED__MESSAGES=2
    ZAQAR__LIMITS__PROJECTS__HURRIED__REQUESTS_PER_SECOND=1
"""

import unittest
import uuid

import openstack
from openstack import exceptions
from zaqarclient.queues import client as zaqarclient
from zaqarclient.transport import errors

import support
from fake_keystone import FakeKeystone
from support import TTL_MESSAGE_S, ZAQAR_URL, fresh

QUOTA = "This project may hold at most 2 messages."
RATE = "This project may send at most 1 requests per second."
# The server's clock runs: only who asks again within a second asks too often.
TRIES = 1_000


def messages(count):
    return [{"body": number, "ttl": TTL_MESSAGE_S} for number in range(count)]


def again_and_again(request):
    for _ in range(TRIES):
        request()


class ZaqarclientTest(unittest.TestCase):
    def connect(self, project):
        conf = {
            "auth_opts": {"backend": "noauth", "options": {"os_project_id": project}},
            "client_uuid": uuid.uuid4().hex,
        }
        return zaqarclient.Client(ZAQAR_URL, 2, conf=conf)

    def test_a_quota_is_an_error_that_says_which(self):
        queue = self.connect("limited").queue(fresh("queue"), force_create=True)
        with self.assertRaisesRegex(errors.ForbiddenError, QUOTA):
            queue.post(messages(3))
        self.assertEqual(0, queue.stats["messages"]["total"])

    def test_a_rate_is_an_error_that_says_which(self):
        client = self.connect("hurried")
        with self.assertRaisesRegex(errors.ServiceUnavailableError, RATE):
            again_and_again(lambda: client.queue(fresh("queue"), force_create=True))

    def test_nobody_else_is_limited(self):
        queue = self.connect(fresh("project")).queue(fresh("queue"), force_create=True)
        self.assertEqual(3, len(queue.post(messages(3))["resources"]))


class SdkTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.keystone = cls.enterClassContext(FakeKeystone(ZAQAR_URL))

    def connect(self, project):
        connection = openstack.connection.Connection(
            auth_type="password",
            auth={
                "auth_url": self.keystone.url,
                "username": "user",
                "password": "any",
                "user_domain_id": "default",
                "project_id": project,
            },
            region_name="RegionOne",
        )
        self.addCleanup(connection.close)
        return connection.message

    def description(self, raised):
        # The client shows it to nobody, but hands it out.
        return raised.exception.response.json()["description"]

    def test_a_quota_is_an_error_that_says_which(self):
        message = self.connect("crowded")
        with self.assertRaises(exceptions.ForbiddenException) as raised:
            for _ in range(2):
                message.create_queue(name=fresh("queue"))
        self.assertEqual("This project may have at most 1 queues.", self.description(raised))

    def test_a_rate_is_an_error_that_says_which(self):
        message = self.connect("hurried")
        with self.assertRaises(exceptions.HttpException) as raised:
            again_and_again(lambda: message.create_queue(name=fresh("queue")))
        self.assertEqual(503, raised.exception.status_code)
        self.assertIn(RATE, self.description(raised))


if __name__ == "__main__":
    support.main("limits")
