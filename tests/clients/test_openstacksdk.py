"""The message proxy of openstacksdk, logged in at a Keystone, through queues, messages, claims and
subscriptions."""

import unittest

import openstack
from openstack import exceptions
from openstack.message.v2 import claim, subscription

import support
from fake_keystone import FakeKeystone
from support import (
    GRACE_S,
    TTL_CLAIM_S,
    TTL_MESSAGE_S,
    TTL_SUBSCRIPTION_S,
    ZAQAR_URL,
    bodies,
    fresh,
)


class SdkTest(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.keystone = cls.enterClassContext(FakeKeystone(ZAQAR_URL))

    def setUp(self):
        self.message = self.connect(fresh("project"))

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

    def queue(self):
        return self.message.create_queue(name=fresh("queue")).name

    def post(self, queue, *texts):
        """Posts messages and returns their ids, in the order of the texts."""
        messages = [{"body": text, "ttl": TTL_MESSAGE_S} for text in texts]
        posted = self.message.post_message(queue, messages)
        return [href.rsplit("/", 1)[1] for href in posted]

    def claim(self, queue):
        # Not by the proxy's create_claim: it gives the claim a connection, and then this version
        # reads the claim's id from the connection's location instead of the answer's.
        new_claim = claim.Claim.new(queue_name=queue, ttl=TTL_CLAIM_S, grace=GRACE_S)
        return new_claim.create(self.message)


class QueueTest(SdkTest):
    def test_discovery_finds_version_2(self):
        self.assertEqual((2, 0), self.message.get_api_major_version())

    def test_a_created_queue_is_read_and_listed(self):
        name = fresh("queue")
        self.message.create_queue(name=name, _default_message_ttl=1234, description="jobs")
        queue = self.message.get_queue(name)
        self.assertEqual((1234, "jobs"), (queue.default_message_ttl, queue.description))
        self.assertEqual([name], [queue.name for queue in self.message.queues()])

    def test_all_queues_are_listed_across_pages(self):
        created = sorted(self.queue() for _ in range(5))
        self.assertEqual(created, [queue.name for queue in self.message.queues(limit=2)])

    def test_a_deleted_queue_is_not_listed(self):
        self.message.delete_queue(self.queue(), ignore_missing=False)
        self.assertEqual([], list(self.message.queues()))

    def test_a_refusal_says_why(self):
        with self.assertRaises(exceptions.BadRequestException) as caught:
            self.message.create_queue(name=fresh("queue"), _default_message_ttl="long")
        self.assertIn("_default_message_ttl", caught.exception.response.json()["description"])

    def test_projects_do_not_see_each_other(self):
        queue = self.queue()
        self.post(queue, "secret")
        stranger = self.connect(fresh("project"))
        self.assertEqual([], list(stranger.queues()))
        self.assertEqual([], list(stranger.messages(queue, echo=True)))


class MessageTest(SdkTest):
    def test_a_message_comes_back_as_it_was_posted(self):
        queue = self.queue()
        body = {"text": "grüße", "list": [1, 2.5, None, True]}
        (message_id,) = self.post(queue, body)
        message = self.message.get_message(queue, message_id)
        self.assertEqual((body, TTL_MESSAGE_S), (message.body, message.ttl))

    def test_all_messages_are_listed_across_pages(self):
        queue = self.queue()
        texts = [f"message {number}" for number in range(25)]
        self.post(queue, *texts)
        self.assertEqual(texts, bodies(self.message.messages(queue, echo=True)))

    def test_claimed_messages_are_listed_only_on_demand(self):
        queue = self.queue()
        self.post(queue, "a")
        self.claim(queue)
        self.assertEqual([], list(self.message.messages(queue, echo=True)))
        listed = self.message.messages(queue, echo=True, include_claimed=True)
        self.assertEqual(["a"], bodies(listed))

    def test_a_deleted_message_is_not_found(self):
        queue = self.queue()
        (message_id,) = self.post(queue, "a")
        self.message.delete_message(queue, message_id, ignore_missing=False)
        with self.assertRaises(exceptions.NotFoundException):
            self.message.get_message(queue, message_id)


class ClaimTest(SdkTest):
    def test_a_claim_holds_the_oldest_messages(self):
        queue = self.queue()
        self.post(queue, "a", "b")
        held = self.claim(queue)
        self.assertEqual(["a", "b"], [message["body"] for message in held.messages])

    def test_a_claim_is_read_by_its_id(self):
        queue = self.queue()
        self.post(queue, "a")
        held = self.message.get_claim(queue, self.claim(queue).id)
        self.assertEqual(TTL_CLAIM_S, held.ttl)
        self.assertEqual(["a"], [message["body"] for message in held.messages])

    def test_claiming_an_empty_queue_gives_nothing(self):
        held = self.claim(self.queue())
        self.assertIsNone(held.id)
        self.assertFalse(held.messages)

    def test_a_renewed_claim_has_its_new_ttl(self):
        queue = self.queue()
        self.post(queue, "a")
        held = self.claim(queue)
        self.message.update_claim(queue, held.id, ttl=TTL_CLAIM_S + 60, grace=GRACE_S)
        self.assertEqual(TTL_CLAIM_S + 60, self.message.get_claim(queue, held.id).ttl)

    def test_released_messages_are_claimed_again(self):
        queue = self.queue()
        self.post(queue, "a")
        self.message.delete_claim(queue, self.claim(queue).id, ignore_missing=False)
        self.assertEqual(["a"], [message["body"] for message in self.claim(queue).messages])

    def test_a_released_claim_is_not_found(self):
        queue = self.queue()
        self.post(queue, "a")
        held = self.claim(queue)
        self.message.delete_claim(queue, held.id)
        with self.assertRaises(exceptions.NotFoundException):
            self.message.get_claim(queue, held.id)

    def test_a_claimed_message_is_deleted_only_with_its_claim(self):
        queue = self.queue()
        (message_id,) = self.post(queue, "a")
        held = self.claim(queue)
        with self.assertRaises(exceptions.ForbiddenException):
            self.message.delete_message(queue, message_id)
        self.message.delete_message(queue, message_id, claim=held.id)
        with self.assertRaises(exceptions.NotFoundException):
            self.message.get_message(queue, message_id)


class SubscriptionTest(SdkTest):
    def subscribe(self, queue, subscriber):
        # Not by the proxy's create_subscription, for the reason that claims have: with a connection
        # the answer's id is not kept.
        new = subscription.Subscription.new(
            queue_name=queue, subscriber=subscriber, ttl=TTL_SUBSCRIPTION_S, options={"n": 1}
        )
        return new.create(self.message).subscription_id

    def test_the_proxy_subscribes(self):
        queue = self.queue()
        self.message.create_subscription(queue, subscriber="http://a.example/", ttl=100)
        (listed,) = self.message.subscriptions(queue)
        self.assertEqual(("http://a.example/", 100), (listed.subscriber, listed.ttl))

    def test_a_subscription_is_read_by_its_id(self):
        queue = self.queue()
        read = self.message.get_subscription(queue, self.subscribe(queue, "http://a.example/"))
        self.assertEqual("http://a.example/", read.subscriber)
        self.assertEqual((TTL_SUBSCRIPTION_S, {"n": 1}), (read.ttl, read.options))
        self.assertEqual(queue, read.source)

    def test_all_subscriptions_are_listed_across_pages(self):
        queue = self.queue()
        made = [self.subscribe(queue, f"http://{n}.example/") for n in range(5)]
        listed = [item.id for item in self.message.subscriptions(queue, limit=2)]
        self.assertEqual(sorted(made), listed)

    def test_a_deleted_subscription_is_not_found(self):
        queue = self.queue()
        made = self.subscribe(queue, "http://a.example/")
        self.message.delete_subscription(queue, made, ignore_missing=False)
        with self.assertRaises(exceptions.NotFoundException):
            self.message.get_subscription(queue, made)

    def test_a_bad_subscriber_is_refused_with_the_reason(self):
        with self.assertRaises(exceptions.BadRequestException) as caught:
            self.subscribe(self.queue(), "gopher://a.example/")
        description = caught.exception.response.json()["description"]
        self.assertIn("must be supported in the list", description)


if __name__ == "__main__":
    support.main("openstacksdk")
