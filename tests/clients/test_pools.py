"""Pools and flavors as an administrator uses them, with python-zaqarclient and `openstack messaging …`,
logged in at a real Keystone.

The server must have been started with `pooling`, as `cargo xtask test --only clients` does.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import unittest
import unittest.mock
import uuid

from openstackclient import shell
from zaqarclient.queues import client as zaqarclient
from zaqarclient.queues.v2 import core
from zaqarclient.transport import errors

import support
from keystone_world import REGION, Administrator, credentials, login
from support import GRACE_S, TTL_CLAIM_S, TTL_MESSAGE_S, ZAQAR_URL, bodies, fresh

CAPABILITIES = {"FIFO", "CLAIMS", "DURABILITY", "AOD", "HIGH_THROUGHPUT"}


def setUpModule():
    Administrator().publish(ZAQAR_URL)


def connect(user):
    return zaqarclient.Client(version=2, session=login(user, "shop"))


class PoolTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = self.enterContext(tempfile.TemporaryDirectory())
        self.folder = pathlib.Path(folder)
        self.client = connect("ada")

    def uri(self, name):
        return f"sqlite://{self.folder / name}.db"

    def pool(self, name, **further):
        """A pool that is gone when the test is over."""
        name = fresh(name)
        pool = self.client.pool(name, uri=self.uri(name), weight=100, **further)
        self.addCleanup(pool.delete)
        return pool


class ZaqarclientTest(PoolTest):
    def flavor(self, pools):
        flavor = self.client.flavor(fresh("gold"), pool_list=[pool.name for pool in pools])
        self.addCleanup(flavor.delete)
        return flavor

    def queue(self, flavor, *texts):
        """A queue of that flavor, with messages."""
        name = fresh("queue")
        request, transport = self.client._request_and_transport()
        # A `Queue` makes itself without metadata.
        core.queue_create(transport, request, name, {"_flavor": flavor.name})
        queue = self.client.queue(name, auto_create=False)
        self.addCleanup(queue.delete)
        if texts:
            queue.post([{"body": text, "ttl": TTL_MESSAGE_S} for text in texts])
        return queue

    def volumes(self, *pools):
        """How many messages there are in each pool, which must work."""
        health = self.client.health()
        self.assertTrue(health["catalog_reachable"])
        for pool in pools:
            steps = health[pool.name]["operation_status"].values()
            self.assertEqual([True] * 8, [step["succeeded"] for step in steps])
        return [health[pool.name]["message_volume"]["total"] for pool in pools]

    def test_a_pool_is_made_shown_listed_changed_and_removed(self):
        name = fresh("pool")
        pool = self.client.pool(name, uri=self.uri("a"), weight=7, options={"unreliable": False})
        self.addCleanup(pool.delete)
        expected = {"name": name, "uri": self.uri("a"), "weight": 7, "flavor": None}
        self.assertEqual(expected | {"href": f"/v2/pools/{name}"}, pool.get())
        (listed,) = [one for one in self.client.pools(detailed=True) if one.name == name]
        self.assertEqual((7, {"unreliable": False}), (listed.weight, listed.options))
        pool.update({"weight": 0, "uri": self.uri("b")})
        self.assertEqual((0, self.uri("b")), (pool.get()["weight"], pool.get()["uri"]))
        pool.delete()
        with self.assertRaisesRegex(errors.ResourceNotFound, f"Pool {name} does not exist"):
            pool.get()

    def test_pools_are_paged(self):
        pools = [self.pool("page") for _ in range(3)]
        listed = [pool.name for pool in self.client.pools(limit=1).stream()]
        self.assertEqual(sorted(listed), listed)
        self.assertLessEqual({pool.name for pool in pools}, set(listed))

    def test_a_flavor_is_made_shown_listed_changed_and_removed(self):
        east, west = self.pool("east"), self.pool("west")
        flavor = self.flavor([east, west])
        shown = flavor.get()
        self.assertEqual([east.name, west.name], shown["pool_list"])
        self.assertLessEqual(set(shown["capabilities"]), CAPABILITIES)
        self.assertIn("CLAIMS", shown["capabilities"])
        self.assertEqual(flavor.name, east.get()["flavor"])
        self.assertIn(flavor.name, [one.name for one in self.client.flavors(detailed=True)])
        flavor.update({"pool_list": [west.name]})
        self.assertEqual([west.name], flavor.get()["pool_list"])
        self.assertIsNone(east.get()["flavor"])
        flavor.delete()
        with self.assertRaisesRegex(errors.ResourceNotFound, "does not exist"):
            flavor.get()

    def test_a_queue_of_a_flavor_works_like_any_other(self):
        pools = self.pool("east"), self.pool("west")
        flavor = self.flavor(pools)
        queues = [self.queue(flavor, "a", "b") for _ in range(4)]
        listed, _count = self.client.queues()
        names = {queue.name for queue in listed.stream()}
        self.assertLessEqual({queue.name for queue in queues}, names)
        self.assertEqual(8, sum(self.volumes(*pools)))
        for queue in queues:
            self.assertEqual(["a", "b"], bodies(queue.messages(echo=True)))
            claimed = list(queue.claim(ttl=TTL_CLAIM_S, grace=GRACE_S))
            self.assertEqual(["a", "b"], bodies(claimed))
            for message in claimed:
                message.delete()
        self.assertEqual(0, sum(self.volumes(*pools)))
        metadata = queues[0].metadata({"_flavor": flavor.name, "note": "kept"})
        self.assertEqual("kept", metadata["note"])

    def test_a_pool_of_weight_0_gets_no_new_queues_and_keeps_its_own(self):
        east, west = self.pool("east"), self.pool("west")
        flavor = self.flavor([east, west])
        west.update({"weight": 0})
        old = self.queue(flavor, "old")
        self.assertEqual([1, 0], self.volumes(east, west))
        west.update({"weight": 100})
        east.update({"weight": 0})
        for _ in range(4):
            self.queue(flavor, "new")
        self.assertEqual([1, 4], self.volumes(east, west))
        self.assertEqual(["old"], bodies(old.messages(echo=True)))

    def test_a_pool_in_use_is_not_removed(self):
        east, west = self.pool("east"), self.pool("west")
        flavor = self.flavor([east])
        queue = self.queue(flavor, "kept")
        with self.assertRaisesRegex(errors.ForbiddenError, f"Pool {east.name} holds queues"):
            east.delete()
        self.assertEqual(["kept"], bodies(queue.messages(echo=True)))
        queue.delete()
        with self.assertRaisesRegex(errors.ForbiddenError, f"used by flavors {flavor.name}"):
            east.delete()
        flavor.update({"pool_list": [west.name]})
        east.delete()
        with self.assertRaises(errors.ResourceNotFound):
            east.get()

    def test_what_cannot_be_is_an_error_that_says_why(self):
        uri = self.uri("no-folder/file")
        with self.assertRaisesRegex(errors.MalformedRequest, f"cannot connect to {uri}"):
            self.client.pool(fresh("pool"), uri=uri, weight=1)
        pool = self.pool("east")
        with self.assertRaisesRegex(errors.ConflictError, "in use by another pool"):
            self.client.pool(fresh("pool"), uri=pool.uri, weight=1)
        with self.assertRaisesRegex(errors.MalformedRequest, "Pool none does not exist"):
            self.client.flavor(fresh("gold"), pool_list=["none"])
        with self.assertRaisesRegex(errors.MalformedRequest, "needs to be specified"):
            pool.update({})

    def test_pools_are_for_administrators_and_flavors_can_be_seen_by_all(self):
        flavor = self.flavor([self.pool("east")])
        member = connect("mia")
        for forbidden in [
            lambda: member.pools(),
            lambda: member.pool(fresh("pool"), uri=self.uri("x"), weight=1),
            lambda: member.flavor(flavor.name, pool_list=["east"]),
            lambda: member.flavor(flavor.name, auto_create=False).delete(),
            lambda: member.health(),
        ]:
            with self.assertRaisesRegex(errors.ForbiddenError, "Not authorized"):
                forbidden()
        self.assertIn(flavor.name, [one.name for one in member.flavors()])


class CliTest(PoolTest):
    """The command's own entry point, many times in one program, as to start takes it seconds. It
    remembers who logged in, so there is one user."""

    def run_command(self, *arguments):
        variables = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        for name, value in credentials("ada", "shop").items():
            variables[f"OS_{name.upper()}"] = value
        variables |= {
            "OS_REGION_NAME": REGION,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_MESSAGE_CLIENT_ID": uuid.uuid4().hex,
        }
        output, complaints = io.StringIO(), io.StringIO()
        with (
            unittest.mock.patch.dict(os.environ, variables, clear=True),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(complaints),
        ):
            code = shell.main(["messaging", *arguments])
        return code, output.getvalue(), complaints.getvalue()

    def openstack(self, *arguments):
        """What a command prints; it must succeed."""
        code, output, complaints = self.run_command(*arguments)
        command = " ".join(arguments)
        self.assertEqual(0, code, f"`openstack messaging {command}`: {complaints}")
        return output

    def table(self, *arguments):
        """What a command prints, as data."""
        return json.loads(self.openstack(*arguments, "--format", "json"))

    def test_the_life_of_pools_and_a_flavor(self):
        east, west, flavor = fresh("east"), fresh("west"), fresh("gold")
        options = {"unreliable": False}
        arguments = (east, self.uri("east"), "100", "--pool_options", json.dumps(options))
        made = self.table("pool", "create", *arguments)
        self.assertEqual((east, 100, options), (made["Name"], made["Weight"], made["Options"]))
        self.table("pool", "create", west, self.uri("west"), "0")
        listed = {pool["Name"]: pool for pool in self.table("pool", "list", "--detailed")}
        expected = {"Weight": 100, "URI": self.uri("east"), "Flavor": None, "Options": options}
        self.assertEqual({"Name": east} | expected, listed[east])
        self.assertEqual(0, listed[west]["Weight"])
        updated = self.table("pool", "update", west, "--pool_weight", "50")
        self.assertEqual(50, updated["Weight"])

        made = self.table("flavor", "create", flavor, "--pool_list", f"{east},{west}")
        self.assertEqual([east, west], made["Pool list"])
        self.assertEqual(flavor, self.table("pool", "show", east)["Flavor"])
        listed = {one["Name"]: one["Pool list"] for one in self.table("flavor", "list")}
        self.assertEqual([east, west], listed[flavor])
        updated = self.table("flavor", "update", flavor, "--pool_list", west)
        self.assertEqual([west], updated["Pool_list"])
        shown = self.table("flavor", "show", flavor)
        self.assertEqual(([west], True), (shown["Pool list"], "CLAIMS" in shown["Capabilities"]))

        code, _output, complaints = self.run_command("pool", "delete", west)
        self.assertEqual(1, code)
        self.assertIn(f"This pool is used by flavors {flavor}", complaints)
        self.openstack("flavor", "delete", flavor)
        self.openstack("pool", "delete", west)
        self.openstack("pool", "delete", east)
        names = {pool["Name"] for pool in self.table("pool", "list")}
        self.assertFalse({east, west} & names)
        self.assertEqual(True, json.loads(self.openstack("health"))["catalog_reachable"])


if __name__ == "__main__":
    support.main("pools")
