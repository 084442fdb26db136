"""Cloud services reach applications of other projects: a service posts as Ceilometer, Aodh and Heat
do, with a login of its own or with a signed URL and no login; a consumer and a webhook belong to
users elsewhere."""

import http.server
import json
import queue as queues
import threading
import unittest
import uuid

from zaqarclient.queues import client as zaqarclient
from zaqarclient.transport import errors

import support
from keystone_world import KEYSTONE_URL, Administrator, credentials, login
from support import GRACE_S, TTL_CLAIM_S, TTL_SUBSCRIPTION_S, ZAQAR_URL, bodies, fresh

#: How long is waited for what must come, in seconds.
PATIENCE_S = 60


def setUpModule():
    Administrator().publish(ZAQAR_URL)


def by_login(user, project):
    """As a service or an application that has a user of its own."""
    return zaqarclient.Client(version=2, session=login(user, project))


def by_configuration(user, project):
    """As a service that is configured with a user of its own."""
    options = {f"os_{name}": value for name, value in credentials(user, project).items()}
    conf = {"auth_opts": {"backend": "keystone", "options": options}}
    return zaqarclient.Client(version=2, conf=conf)


def by_signed_url(signed):
    """As whoever was given a signed URL, and nothing else."""
    options = {
        "os_project_id": signed["project"],
        "signature": signed["signature"],
        "expires": signed["expires"],
        "methods": signed["methods"],
        "paths": signed["paths"],
    }
    conf = {
        "auth_opts": {"backend": "signed-url", "options": options},
        "client_uuid": uuid.uuid4().hex,
    }
    return zaqarclient.Client(ZAQAR_URL, 2, conf=conf)


class Webhook:
    """A context manager: an application's address at which it is told of messages."""

    def __enter__(self):
        received = queues.Queue()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                content = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(204)
                self.end_headers()
                received.put((json.loads(content), self.headers.get("X-Auth-Token")))

            def log_message(self, *_arguments):
                pass

        self._received = received
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/told"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_exception):
        self._server.shutdown()
        self._server.server_close()

    def told_with_token(self):
        """The next notification, and the token that came with it."""
        return self._received.get(timeout=PATIENCE_S)

    def told(self):
        """The next notification."""
        notification, token = self.told_with_token()
        assert token is None, "a token was sent to whom none was promised"
        return notification


class ServicesTest(unittest.TestCase):
    def setUp(self):
        self.webhook = self.enterContext(Webhook())

    def subscribe(self, client, name):
        client.subscription(name, subscriber=self.webhook.url, ttl=TTL_SUBSCRIPTION_S)

    def consume(self, client, name):
        """Claims what there is and deletes it."""
        claim = client.queue(name, auto_create=False).claim(ttl=TTL_CLAIM_S, grace=GRACE_S)
        taken = []
        for message in claim:
            taken.append(message.body)
            message.delete()
        return taken

    def test_samples_that_a_service_posts_as_itself_reach_a_user_of_another_project(self):
        name = fresh("samples")
        # The publisher's `zaqar://?queue=…&ttl=…`.
        service = by_configuration("ceilometer", "service")
        own = service.queue(name, force_create=True)
        self.subscribe(service, name)
        samples = [{"counter_name": "cpu", "counter_volume": n} for n in range(3)]
        own.post([{"body": sample, "ttl": 3600} for sample in samples])

        # The service hands out leave to consume; the consumer is no user of its project.
        signed = own.signed_url(paths=["messages", "claims"], methods=["GET", "POST", "DELETE"])
        consumer = by_signed_url(signed)
        self.assertEqual(samples, self.consume(consumer, name))
        told = [self.webhook.told() for _ in samples]
        self.assertEqual(samples, sorted((each["body"] for each in told), key=self.volume))
        self.assertEqual({name}, {each["queue_name"] for each in told})
        # Whoever logs in elsewhere has a queue of that name, and nothing is in it.
        stranger = by_login("bob", "bank").queue(name)
        self.assertEqual([], bodies(stranger.messages(echo=True)))

    @staticmethod
    def volume(sample):
        return sample["counter_volume"]

    def test_alarms_that_a_service_posts_by_signed_url_reach_the_owner_of_the_queue(self):
        name = fresh("alarms")
        bob = by_login("bob", "bank")
        own = bob.queue(name, force_create=True)
        self.subscribe(bob, name)
        signed = own.signed_url(paths=["messages"], methods=["POST"])

        # The notifier's `zaqar://?project_id=…&signature=…`: it has no user in that project.
        alarm = {"alarm_id": uuid.uuid4().hex, "previous": "ok", "current": "alarm"}
        notifier = by_signed_url(signed).queue(name, auto_create=False)
        notifier.post([{"body": alarm, "ttl": 3600}])
        with self.assertRaises(errors.ResourceNotFound):
            list(notifier.messages(echo=True))

        self.assertEqual(alarm, self.webhook.told()["body"])
        self.assertEqual([alarm], self.consume(by_login("bob", "bank"), name))

    def test_a_signal_that_an_instance_posts_reaches_the_stack_of_its_project(self):
        name = fresh("stack")
        # Heat makes the queue in the user's project and gives its address to the instance, which
        # reports there.
        heat = by_login("mia", "shop")
        own = heat.queue(name, force_create=True)
        signed = own.signed_url(paths=["messages"], methods=["GET", "POST"], ttl_seconds=3600)
        self.subscribe(heat, name)
        instance = by_signed_url(signed).queue(name, auto_create=False)
        done = {"deploy_status_code": 0, "deploy_stdout": "grüße", "id": uuid.uuid4().hex}
        instance.post([{"body": done, "ttl": 3600}])
        self.assertEqual(done, self.webhook.told()["body"])
        self.assertEqual([done], bodies(instance.messages(echo=True)))
        self.assertEqual([done], self.consume(heat, name))

    def test_a_trusted_subscriber_may_act_for_whoever_subscribed_it(self):
        name = fresh("workflows")
        mia = by_login("mia", "shop")
        mia.queue(name, force_create=True)
        # Mistral's address, which starts a workflow for the user.
        hook = "trust+" + self.webhook.url
        mia.subscription(name, subscriber=hook, ttl=TTL_SUBSCRIPTION_S)
        mia.queue(name).post([{"body": "start", "ttl": 3600}])
        notification, token = self.webhook.told_with_token()
        self.assertEqual("start", notification["body"])
        whose = login("zaqar", "service").get(
            KEYSTONE_URL + "/auth/tokens", headers={"X-Subject-Token": token}
        )
        described = whose.json()["token"]
        self.assertEqual(("mia", "shop"), (described["user"]["name"], described["project"]["name"]))
        self.assertIn("member", [role["name"] for role in described["roles"]])
        options = {"os_auth_token": token, "os_project_id": described["project"]["id"]}
        conf = {"auth_opts": {"backend": "keystone", "options": options}}
        acting = zaqarclient.Client(ZAQAR_URL, 2, conf=conf)
        self.assertEqual(["start"], self.consume(acting, name))


if __name__ == "__main__":
    support.main("services with keystone")
