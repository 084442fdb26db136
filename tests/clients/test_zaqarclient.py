"""python-zaqarclient, without authentication, through queues, messages, claims, subscriptions and
signed URLs."""

import unittest
import uuid

from zaqarclient.queues import client as zaqarclient
from zaqarclient.transport import errors

import support
from support import (
    GRACE_S,
    TTL_CLAIM_S,
    TTL_MESSAGE_S,
    TTL_SUBSCRIPTION_S,
    ZAQAR_URL,
    bodies,
    fresh,
)


def connect(project):
    """A client of its own: each has a Client-ID of its own."""
    conf = {
        "auth_opts": {"backend": "noauth", "options": {"os_project_id": project}},
        "client_uuid": uuid.uuid4().hex,
    }
    return zaqarclient.Client(ZAQAR_URL, 2, conf=conf)


class ClientTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.project = fresh("project")
        self.client = connect(self.project)

    def queue(self):
        return self.client.queue(fresh("queue"), force_create=True)

    def post(self, queue, *texts):
        """Posts messages and returns their ids, in the order of the texts."""
        posted = queue.post([{"body": text, "ttl": TTL_MESSAGE_S} for text in texts])
        return [href.rsplit("/", 1)[1] for href in posted["resources"]]


class ServiceTest(ClientTest):
    def test_ping_says_that_the_server_is_there(self):
        self.assertTrue(self.client.ping())

    def test_the_home_document_names_the_queue_resource(self):
        resources = self.client.homedoc()["resources"]
        template = resources["rel/queue"]["href-template"]
        self.assertEqual("/v2/queues/{queue_name}", template)


class QueueTest(ClientTest):
    def names(self, **params):
        queues, _count = self.client.queues(**params)
        return [queue.name for queue in queues.stream()]

    def test_a_created_queue_is_listed(self):
        queue = self.queue()
        self.assertEqual([queue.name], self.names())

    def test_a_queue_exists_from_its_creation_to_its_deletion(self):
        queue = self.client.queue(fresh("queue"), auto_create=False)
        self.assertFalse(queue.exists())
        queue.ensure_exists(force_create=True)
        self.assertTrue(queue.exists())
        queue.delete()
        self.assertFalse(queue.exists())

    def test_creating_a_queue_twice_keeps_its_metadata(self):
        queue = self.queue()
        queue.metadata({"owner": "first"})
        again = self.client.queue(queue.name, force_create=True)
        self.assertEqual("first", again.metadata()["owner"])

    def test_a_pager_walks_all_queues_in_order(self):
        created = sorted(self.queue().name for _ in range(5))
        self.assertEqual(created, self.names(limit=2))

    def test_a_listing_starts_behind_its_marker(self):
        created = sorted(self.queue().name for _ in range(3))
        self.assertEqual(created[1:], self.names(marker=created[0]))

    def test_a_listing_counts_all_queues(self):
        for _ in range(3):
            self.queue()
        queues, count = self.client.queues(limit=1, with_count=True)
        self.assertEqual(1, len(list(queues)))
        self.assertEqual(3, count)

    def test_a_detailed_listing_shows_metadata(self):
        queue = self.queue()
        queue.metadata({"owner": "me", "_default_message_ttl": 1234})
        queues, _count = self.client.queues(detailed=True)
        (listed,) = list(queues)
        self.assertEqual("me", listed.metadata()["owner"])
        self.assertEqual(1234, listed.metadata()["_default_message_ttl"])

    def test_new_metadata_replaces_the_old(self):
        queue = self.queue()
        queue.metadata({"colour": "red", "size": {"deep": [1, 2]}})
        queue.metadata({"size": 3, "shape": "round"})
        stored = queue.metadata(force_reload=True)
        own = {key: value for key, value in stored.items() if not key.startswith("_")}
        self.assertEqual({"size": 3, "shape": "round"}, own)

    def test_a_queue_never_created_shows_default_metadata(self):
        queue = self.client.queue(fresh("queue"), auto_create=False)
        self.assertIn("_max_messages_post_size", queue.metadata())

    def test_a_reserved_attribute_with_a_bad_value_is_refused(self):
        queue = self.queue()
        with self.assertRaises(errors.MalformedRequest):
            queue.metadata({"_default_message_ttl": "long"})

    def test_statistics_count_free_and_claimed_messages(self):
        queue = self.queue()
        self.assertEqual({"claimed": 0, "free": 0, "total": 0}, queue.stats["messages"])
        self.post(queue, "a", "b", "c")
        queue.claim(ttl=TTL_CLAIM_S, grace=GRACE_S, limit=1)
        stats = queue.stats["messages"]
        self.assertEqual((1, 2, 3), (stats["claimed"], stats["free"], stats["total"]))
        self.assertEqual({"age", "created", "href"}, set(stats["oldest"]))

    def test_a_purge_empties_the_queue_and_keeps_it(self):
        queue = self.queue()
        self.post(queue, "a", "b")
        queue.purge()
        self.assertEqual([], list(queue.messages(echo=True)))
        self.assertEqual([queue.name], self.names())

    def test_a_deleted_queue_is_gone_with_its_messages(self):
        queue = self.queue()
        self.post(queue, "a")
        queue.delete()
        self.assertEqual([], self.names())
        again = self.client.queue(queue.name, force_create=True)
        self.assertEqual([], list(again.messages(echo=True)))

    def test_deleting_a_queue_twice_is_no_error(self):
        queue = self.queue()
        queue.delete()
        queue.delete()

    def test_projects_do_not_see_each_other(self):
        queue = self.queue()
        self.post(queue, "secret")
        stranger = connect(fresh("project"))
        theirs = stranger.queue(queue.name, force_create=True)
        self.assertEqual([], list(theirs.messages(echo=True, include_claimed=True)))


class MessageTest(ClientTest):
    def test_a_single_message_comes_back_as_it_was_posted(self):
        queue = self.queue()
        body = {"text": "grüße", "list": [1, 2.5, None, True], "deep": {"er": {}}}
        queue.post({"body": body, "ttl": TTL_MESSAGE_S})
        (message,) = list(queue.messages(echo=True))
        self.assertEqual(body, message.body)
        self.assertEqual(TTL_MESSAGE_S, message.ttl)
        self.assertLess(message.age, 60)

    def test_a_batch_keeps_its_order(self):
        queue = self.queue()
        texts = [f"message {number}" for number in range(10)]
        self.assertEqual(10, len(self.post(queue, *texts)))
        self.assertEqual(texts, bodies(queue.messages(echo=True)))

    def test_a_ttl_that_is_too_short_is_refused_with_the_reason(self):
        queue = self.queue()
        with self.assertRaisesRegex(errors.MalformedRequest, "at least 60 seconds"):
            queue.post({"body": "x", "ttl": 1})
        self.assertEqual([], list(queue.messages(echo=True)))

    def test_own_messages_are_listed_only_with_echo(self):
        queue = self.queue()
        self.post(queue, "mine")
        self.assertEqual([], list(queue.messages()))
        other = connect(self.project).queue(queue.name)
        self.assertEqual(["mine"], bodies(other.messages()))

    def test_a_pager_walks_all_messages_in_order(self):
        queue = self.queue()
        texts = [f"message {number}" for number in range(7)]
        self.post(queue, *texts)
        self.assertEqual(texts, bodies(queue.messages(echo=True, limit=3).stream()))

    def test_claimed_messages_are_listed_only_on_demand(self):
        queue = self.queue()
        self.post(queue, "a", "b")
        queue.claim(ttl=TTL_CLAIM_S, grace=GRACE_S, limit=1)
        self.assertEqual(["b"], bodies(queue.messages(echo=True)))
        self.assertEqual(["a", "b"], bodies(queue.messages(echo=True, include_claimed=True)))

    def test_a_message_is_read_by_its_id(self):
        queue = self.queue()
        first, _second = self.post(queue, "a", "b")
        message = queue.message(first)
        self.assertEqual((first, "a"), (message.id, message.body))

    def test_an_unknown_message_is_not_found(self):
        queue = self.queue()
        (message_id,) = self.post(queue, "a")
        queue.message(message_id).delete()
        with self.assertRaises(errors.ResourceNotFound):
            queue.message(message_id)

    def test_messages_are_read_by_their_ids(self):
        queue = self.queue()
        first, _second, third = self.post(queue, "a", "b", "c")
        self.assertEqual(["a", "c"], sorted(bodies(queue.messages(first, third))))

    def test_messages_are_deleted_by_their_ids(self):
        queue = self.queue()
        first, _second, third = self.post(queue, "a", "b", "c")
        queue.delete_messages(first, third)
        self.assertEqual(["b"], bodies(queue.messages(echo=True)))

    def test_deleting_a_message_twice_is_no_error(self):
        queue = self.queue()
        self.post(queue, "a")
        (message,) = list(queue.messages(echo=True))
        message.delete()
        message.delete()
        self.assertEqual([], list(queue.messages(echo=True)))

    def test_popped_messages_are_the_oldest_and_are_gone(self):
        queue = self.queue()
        self.post(queue, "a", "b", "c")
        self.assertEqual(["a", "b"], bodies(queue.pop(count=2)))
        self.assertEqual(["c"], bodies(queue.messages(echo=True)))

    def test_popping_an_empty_queue_gives_nothing(self):
        self.assertEqual([], list(self.queue().pop(count=3)))


class ClaimTest(ClientTest):
    def claim(self, queue, limit=10):
        return queue.claim(ttl=TTL_CLAIM_S, grace=GRACE_S, limit=limit)

    def test_claims_take_the_oldest_messages_and_share_none(self):
        queue = self.queue()
        self.post(queue, "a", "b", "c")
        first, second = self.claim(queue, limit=2), self.claim(queue, limit=2)
        self.assertEqual(["a", "b"], bodies(first))
        self.assertEqual(["c"], bodies(second))
        self.assertNotEqual(first.id, second.id)

    def test_claiming_an_empty_queue_gives_nothing(self):
        claim = self.claim(self.queue())
        self.assertIsNone(claim.id)
        self.assertEqual([], list(claim))

    def test_a_claim_is_read_by_its_id(self):
        queue = self.queue()
        self.post(queue, "a", "b")
        claim = queue.claim(id=self.claim(queue).id)
        self.assertEqual(TTL_CLAIM_S, claim.ttl)
        self.assertLess(claim.age, 60)
        self.assertEqual(["a", "b"], bodies(claim))

    def test_a_renewed_claim_has_its_new_ttl(self):
        queue = self.queue()
        self.post(queue, "a")
        claim = self.claim(queue)
        claim.update(ttl=TTL_CLAIM_S + 60, grace=GRACE_S)
        self.assertEqual(TTL_CLAIM_S + 60, queue.claim(id=claim.id).ttl)

    def test_released_messages_are_claimed_again(self):
        queue = self.queue()
        self.post(queue, "a")
        claim = self.claim(queue)
        claim.delete()
        self.assertEqual(["a"], bodies(self.claim(queue)))

    def test_a_released_claim_is_not_found(self):
        queue = self.queue()
        self.post(queue, "a")
        claim = self.claim(queue)
        claim.delete()
        with self.assertRaises(errors.ResourceNotFound):
            list(queue.claim(id=claim.id))

    def test_a_claimed_message_is_deleted_only_with_its_claim(self):
        queue = self.queue()
        (message_id,) = self.post(queue, "a")
        (claimed,) = list(self.claim(queue))
        # Read without the claim, the message does not know who holds it.
        bare = queue.message(message_id)
        bare.href = bare.href.split("?")[0]
        with self.assertRaises(errors.ForbiddenError):
            bare.delete()
        claimed.delete()
        self.assertEqual(0, queue.stats["messages"]["total"])

    def test_a_claim_is_gone_with_its_last_message(self):
        queue = self.queue()
        self.post(queue, "a")
        claim = self.claim(queue)
        for message in claim:
            message.delete()
        with self.assertRaises(errors.ResourceNotFound):
            list(queue.claim(id=claim.id))

    def test_a_claim_that_is_too_long_is_refused(self):
        queue = self.queue()
        with self.assertRaisesRegex(errors.MalformedRequest, "may not exceed 43200 seconds"):
            queue.claim(ttl=43201, grace=GRACE_S)


class SubscriptionTest(ClientTest):
    def subscribe(self, queue_name, subscriber, **options):
        return self.client.subscription(
            queue_name, subscriber=subscriber, ttl=TTL_SUBSCRIPTION_S, **options
        )

    def test_a_subscription_is_read_back_and_makes_its_queue(self):
        name = fresh("queue")
        made = self.subscribe(name, "http://a.example/", options={"post_headers": {"X": "y"}})
        read = self.client.subscription(name, id=made.id)
        self.assertEqual("http://a.example/", read.subscriber)
        self.assertEqual(TTL_SUBSCRIPTION_S, read.ttl)
        self.assertEqual({"post_headers": {"X": "y"}}, read.options)
        self.assertLess(read.age, 60)
        self.assertIs(False, read.confirmed)
        self.assertTrue(self.client.queue(name, auto_create=False).exists())

    def test_subscribing_again_gives_the_same_subscription(self):
        name = fresh("queue")
        first = self.subscribe(name, "http://a.example/")
        self.assertEqual(first.id, self.subscribe(name, "http://a.example/").id)

    def test_a_pager_walks_all_subscriptions(self):
        queue = self.queue()
        made = [self.subscribe(queue.name, f"http://{n}.example/").id for n in range(7)]
        listed = [item.id for item in queue.subscriptions(limit=3).stream()]
        self.assertEqual(sorted(made), listed)

    def test_a_subscription_is_changed_and_deleted(self):
        name = fresh("queue")
        made = self.subscribe(name, "http://a.example/")
        made.update({"ttl": 2 * TTL_SUBSCRIPTION_S, "subscriber": "http://b.example/"})
        read = self.client.subscription(name, id=made.id)
        self.assertEqual((2 * TTL_SUBSCRIPTION_S, "http://b.example/"), (read.ttl, read.subscriber))
        made.delete()
        with self.assertRaises(errors.ResourceNotFound):
            self.client.subscription(name, id=made.id)

    def test_a_subscriber_of_an_unknown_type_is_refused_with_the_types(self):
        with self.assertRaisesRegex(errors.MalformedRequest, "'mailto'"):
            self.subscribe(fresh("queue"), "gopher://a.example/")

    def test_a_purge_of_subscriptions_keeps_the_messages(self):
        queue = self.queue()
        self.post(queue, "a")
        self.subscribe(queue.name, "http://a.example/")
        queue.purge(resource_types=["subscriptions"])
        self.assertEqual([], list(queue.subscriptions()))
        self.assertEqual(["a"], bodies(queue.messages(echo=True)))


class SignedUrlTest(ClientTest):
    def signed_client(self, signed):
        conf = {
            "auth_opts": {
                "backend": "signed-url",
                "options": {
                    "os_project_id": signed["project"],
                    "signature": signed["signature"],
                    "expires": signed["expires"],
                    "methods": signed["methods"],
                    "paths": signed["paths"],
                },
            },
            "client_uuid": uuid.uuid4().hex,
        }
        return zaqarclient.Client(ZAQAR_URL, 2, conf=conf)

    def test_a_signed_url_is_read_with_and_gives_nothing_else(self):
        queue = self.queue()
        self.post(queue, "a", "b", "c")
        signed = queue.signed_url(paths=["messages"], ttl_seconds=600, methods=["GET"])
        self.assertEqual([f"/v2/queues/{queue.name}/messages"], signed["paths"])
        holder = self.signed_client(signed).queue(queue.name, auto_create=False)
        self.assertEqual(["a", "b", "c"], bodies(holder.messages(limit=2).stream()))
        with self.assertRaises(errors.ResourceNotFound):
            holder.post({"body": "x", "ttl": TTL_MESSAGE_S})
        with self.assertRaises(errors.ResourceNotFound):
            self.signed_client(signed).queue(self.queue().name, auto_create=False).pop()

    def test_a_signed_url_is_posted_and_claimed_with(self):
        queue = self.queue()
        signed = queue.signed_url(paths=["messages", "claims"], methods=["POST"])
        holder = self.signed_client(signed).queue(queue.name, auto_create=False)
        holder.post({"body": "x", "ttl": TTL_MESSAGE_S})
        self.assertEqual(["x"], bodies(holder.claim(ttl=TTL_CLAIM_S, grace=GRACE_S)))

    def test_a_changed_signature_opens_nothing(self):
        queue = self.queue()
        signed = queue.signed_url()
        signed["methods"] = ["GET", "POST"]
        holder = self.signed_client(signed).queue(queue.name, auto_create=False)
        with self.assertRaises(errors.ResourceNotFound):
            list(holder.messages())


if __name__ == "__main__":
    support.main("zaqarclient")
