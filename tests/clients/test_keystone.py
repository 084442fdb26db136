"""A real Keystone: logins as clients do them, and what becomes of tokens, roles and trusts."""

import datetime
import unittest
import uuid

import openstack
import requests
from keystoneauth1 import exceptions
from keystoneauth1 import session as sessions
from keystoneauth1.identity import v3
from zaqarclient.queues import client as zaqarclient
from zaqarclient import transport
from zaqarclient.transport import request

import support
from keystone_world import KEYSTONE_URL, Administrator, credentials, login
from support import GRACE_S, TTL_CLAIM_S, TTL_MESSAGE_S, ZAQAR_URL, bodies, fresh

#: How long is waited for what must come, in seconds.
PATIENCE_S = 60


def setUpModule():
    Administrator().publish(ZAQAR_URL)


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def ask(method, path, token=None, headers=(), **further):
    """A request as no client sends it."""
    all_headers = {"Client-ID": uuid.uuid4().hex, **dict(headers)}
    if token is not None:
        all_headers["X-Auth-Token"] = token
    return requests.request(method, ZAQAR_URL + path, headers=all_headers, timeout=60, **further)


class LoginTest(unittest.TestCase):
    def zaqar(self, user, project):
        """python-zaqarclient as an application configures it: the catalogue says where the service
        is."""
        options = {f"os_{name}": value for name, value in credentials(user, project).items()}
        conf = {"auth_opts": {"backend": "keystone", "options": options}}
        return zaqarclient.Client(version=2, conf=conf)

    def test_zaqarclient_logs_in_and_works(self):
        queue = self.zaqar("mia", "shop").queue(fresh("queue"), force_create=True)
        queue.post([{"body": "a", "ttl": TTL_MESSAGE_S}, {"body": "b", "ttl": TTL_MESSAGE_S}])
        claimed = list(queue.claim(ttl=TTL_CLAIM_S, grace=GRACE_S))
        self.assertEqual(["a", "b"], bodies(claimed))
        for message in claimed:
            message.delete()
        self.assertEqual(0, queue.stats["messages"]["total"])

    def test_zaqarclient_takes_a_session(self):
        client = zaqarclient.Client(version=2, session=login("mia", "shop"))
        queue = client.queue(fresh("queue"), force_create=True)
        queue.post({"body": "a", "ttl": TTL_MESSAGE_S})
        self.assertEqual(["a"], bodies(queue.messages(echo=True)))

    def test_openstacksdk_logs_in_and_works(self):
        auth = credentials("mia", "shop")
        connection = openstack.connection.Connection(auth_type="password", auth=auth)
        self.addCleanup(connection.close)
        queue = connection.message.create_queue(name=fresh("queue")).name
        connection.message.post_message(queue, [{"body": "a", "ttl": TTL_MESSAGE_S}])
        listed = connection.message.messages(queue, echo=True)
        self.assertEqual(["a"], bodies(listed))

    def test_users_of_one_project_share_its_queues_and_others_see_none(self):
        name = fresh("queue")
        self.zaqar("mia", "shop").queue(name).post({"body": "for us", "ttl": TTL_MESSAGE_S})
        colleague = self.zaqar("ray", "shop").queue(name, auto_create=False)
        self.assertEqual(["for us"], bodies(colleague.messages()))
        stranger = self.zaqar("bob", "bank").queue(name)
        self.assertEqual([], bodies(stranger.messages(echo=True)))

    def test_a_websocket_is_let_in_with_a_token(self):
        mia = login("mia", "shop")
        endpoint = ZAQAR_URL.replace("http://", "ws://", 1) + "/v2/ws"
        options = {"os_project_id": mia.get_project_id(), "os_auth_token": mia.get_token()}
        conf = {"auth_opts": {"backend": "keystone", "options": options}}
        socket = transport.get_transport_for(endpoint, version=2, options=conf)
        self.addCleanup(socket.cleanup)
        body = f'{{"queue_name": "{fresh("queue")}", "messages": [{{"body": 1}}]}}'
        answer = socket.send(request.Request(endpoint, "message_post", content=body))
        self.assertEqual(201, answer.status_code)


class TokenTest(unittest.TestCase):
    def setUp(self):
        self.mia = login("mia", "shop")
        self.token = self.mia.get_token()

    def until_refused(self, token, patience_ends):
        """Asks until the token lets nobody in any more; when the last request was sent that it did
        let in, if there was one."""
        let_in = None
        while (sent := now()) < patience_ends:
            answer = ask("GET", "/v2/queues", token)
            if answer.status_code == 401:
                return let_in
            self.assertEqual(200, answer.status_code)
            let_in = sent
        self.fail("the token still lets in")

    def test_who_has_no_valid_token_is_told_where_to_get_one(self):
        for token in (None, "", "nonsense", "gAAAAAB" + "x" * 200, self.token[:-1], self.token * 2):
            answer = ask("GET", "/v2/queues", token)
            self.assertEqual(401, answer.status_code, token)
            self.assertRegex(answer.headers["WWW-Authenticate"], f'^Keystone uri="{KEYSTONE_URL}')
        self.assertEqual(300, ask("GET", "/").status_code)

    def test_nobody_is_somebody_else_by_saying_so(self):
        bank = login("bob", "bank").get_project_id()
        forged = {"X-Project-Id": bank, "X-Roles": "admin", "X-User-Id": "root", "X-Tenant-Id": bank}
        name = fresh("queue")
        made = ask("PUT", f"/v2/queues/{name}", self.token, forged)
        self.assertEqual(201, made.status_code)
        own = ask("GET", f"/v2/queues?marker={name[:-1]}&limit=1", self.token).json()
        self.assertEqual([name], [queue["name"] for queue in own["queues"]])
        theirs = ask("GET", "/v2/queues", login("bob", "bank").get_token()).json()
        self.assertNotIn(name, [queue["name"] for queue in theirs["queues"]])
        self.assertEqual(403, ask("GET", "/v2/health", self.token, forged).status_code)
        self.assertEqual(401, ask("GET", "/v2/queues", None, forged).status_code)

    def test_roles_decide_what_one_may_do(self):
        path = f"/v2/queues/{fresh('queue')}/messages"
        message = {"messages": [{"body": 1, "ttl": TTL_MESSAGE_S}]}
        self.assertEqual(201, ask("POST", path, self.token, json=message).status_code)
        ray, ada = login("ray", "shop").get_token(), login("ada", "shop").get_token()
        self.assertEqual(403, ask("POST", path, ray, json=message).status_code)
        self.assertEqual(200, ask("GET", path, ray).status_code)
        self.assertEqual(1, len(ask("GET", path, ray).json()["messages"]))
        for token, status in ((self.token, 403), (ray, 403), (ada, 200)):
            self.assertEqual(status, ask("GET", "/v2/health", token).status_code)

    def test_a_revoked_token_lets_in_no_more(self):
        own = login("mia", "shop")
        token = own.get_token()
        self.assertEqual(200, ask("GET", "/v2/queues", token).status_code)
        own.delete(KEYSTONE_URL + "/auth/tokens", headers={"X-Subject-Token": token})
        self.until_refused(token, now() + datetime.timedelta(seconds=PATIENCE_S))
        # Others are none the worse for it.
        self.assertEqual(200, ask("GET", "/v2/queues", self.token).status_code)

    def test_a_token_of_a_trust_ends_when_it_says(self):
        trustee = login("ceilometer", "service").get_user_id()
        # Getting the token must not take longer than it lives, whatever else the machine does.
        for life_s in (5, 20, 80):
            ends = (now() + datetime.timedelta(seconds=life_s)).replace(microsecond=0)
            try:
                token = self.entrusted(trustee, ends)
            except exceptions.HttpError:
                if now() < ends:
                    raise
                continue
            answer = ask("GET", "/v2/queues", token)
            if now() < ends:
                break
        else:
            self.fail("there is no getting a token in time")
        self.assertEqual(200, answer.status_code)
        last = self.until_refused(token, ends + datetime.timedelta(seconds=PATIENCE_S))
        self.assertLess(last or ends, ends + datetime.timedelta(seconds=1))
        self.assertGreaterEqual(now(), ends)

    def entrusted(self, trustee, ends):
        """A token that lets somebody else act for mia, until then."""
        trust = {
            "trustor_user_id": self.mia.get_user_id(),
            "trustee_user_id": trustee,
            "project_id": self.mia.get_project_id(),
            "impersonation": True,
            "roles": [{"name": "member"}],
            "expires_at": ends.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
        }
        made = self.mia.post(KEYSTONE_URL + "/OS-TRUST/trusts", json={"trust": trust}).json()
        own = credentials("ceilometer", "service")
        for name in ("project_name", "project_domain_id"):
            del own[name]
        auth = v3.Password(**own, trust_id=made["trust"]["id"])
        return sessions.Session(auth=auth).get_token()


if __name__ == "__main__":
    support.main("keystone")
