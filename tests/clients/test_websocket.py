"""python-zaqarclient's WebSocket transport, without authentication."""

import json
import unittest

from zaqarclient import transport
from zaqarclient.transport import errors, request

import support
from support import TTL_MESSAGE_S, ZAQAR_URL, fresh

ENDPOINT = ZAQAR_URL.replace("http://", "ws://", 1) + "/v2/ws"


class WebSocketTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        options = {"os_project_id": fresh("project"), "os_auth_token": "none"}
        conf = {"auth_opts": {"backend": "noauth", "options": options}}
        self.socket = transport.get_transport_for(ENDPOINT, version=2, options=conf)
        self.addCleanup(self.socket.cleanup)
        self.queue = fresh("queue")

    def call(self, action, **body):
        body = json.dumps({"queue_name": self.queue, **body})
        answer = self.socket.send(request.Request(ENDPOINT, action, content=body))
        return answer.status_code, answer.deserialized_content

    def post(self, *texts):
        messages = [{"body": text, "ttl": TTL_MESSAGE_S} for text in texts]
        status, body = self.call("message_post", messages=messages)
        self.assertEqual(201, status)
        return body["message_ids"]

    def test_a_queue_is_created_shown_and_removed(self):
        status, body = self.call("queue_create", metadata={"for": "tests"})
        self.assertEqual((201, f"Queue {self.queue} created."), (status, body))
        self.assertEqual(200, self.call("queue_get_stats")[0])
        self.assertEqual(204, self.call("queue_delete")[0])
        with self.assertRaises(errors.ResourceNotFound):
            self.call("queue_get_stats")

    def test_messages_are_posted_claimed_and_deleted(self):
        ids = self.post("a", "b")
        status, claim = self.call("claim_create", ttl=300, grace=60)
        self.assertEqual(201, status)
        self.assertEqual(ids, [message["id"] for message in claim["messages"]])
        for message_id in ids:
            with self.assertRaises(errors.ForbiddenError):
                self.call("message_delete", message_id=message_id)
            held = {"message_id": message_id, "claim_id": claim["claim_id"]}
            self.assertEqual(204, self.call("message_delete", **held)[0])
        self.assertEqual(0, self.call("queue_get_stats")[1]["messages"]["total"])

    def test_what_is_wrong_is_told(self):
        with self.assertRaisesRegex(errors.MalformedRequest, "Schema validation failed"):
            self.call("message_post", messages="none")

    def test_what_is_posted_is_pushed_to_a_subscriber(self):
        status, _ = self.call("subscription_create", ttl=600)
        self.assertEqual(201, status)
        with self.assertRaises(errors.ConflictError):
            self.call("subscription_create", ttl=600)
        # Another connection posts, for this one would find a notification before its answer.
        other = transport.get_transport_for(ENDPOINT, version=2, options=self.socket.options)
        self.addCleanup(other.cleanup)
        mine, self.socket = self.socket, other
        ids = self.post("hello")
        pushed = mine.recv()
        self.assertEqual("Notification", pushed["Message_Type"])
        self.assertEqual((self.queue, "hello"), (pushed["queue_name"], pushed["body"]))
        self.assertEqual(ids, [pushed["message_id"]])
        mine.cleanup()


if __name__ == "__main__":
    support.main("zaqarclient over WebSocket")
