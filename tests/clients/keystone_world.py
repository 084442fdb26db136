"""The projects, users and services that the tests with a real Keystone share.

As a program it makes them, as the administrator. All users have the password in KEYSTONE_PASSWORD.
The messaging service gets its endpoint from the tests, which know where the server is.
"""

import os
import sys

from keystoneauth1 import session
from keystoneauth1.identity import v3

try:
    KEYSTONE_URL, PASSWORD = os.environ["KEYSTONE_URL"], os.environ["KEYSTONE_PASSWORD"]
except KeyError:
    sys.exit("KEYSTONE_URL and KEYSTONE_PASSWORD are unset; `cargo xtask test --only clients` sets them")

REGION = "RegionOne"
DOMAIN = "default"

#: Who has which role in which project.
ASSIGNMENTS = [
    ("zaqar", "service", "service"),
    ("ceilometer", "service", "service"),
    ("ada", "shop", "admin"),
    ("mia", "shop", "member"),
    ("ray", "shop", "reader"),
    ("bob", "bank", "member"),
]


def credentials(user, project):
    """What a login takes, under the names that keystoneauth has for it."""
    return {
        "auth_url": KEYSTONE_URL,
        "username": user,
        "password": PASSWORD,
        "user_domain_id": DOMAIN,
        "project_name": project,
        "project_domain_id": DOMAIN,
    }


def login(user, project):
    """A session of that user in that project."""
    return session.Session(auth=v3.Password(**credentials(user, project)))


class Administrator:
    """Calls Keystone's API as its administrator."""

    def __init__(self):
        self._session = login("admin", "admin")

    def call(self, method, path, document=None):
        answer = self._session.request(KEYSTONE_URL + path, method, json=document)
        return answer.json() if answer.content else None

    def create(self, kind, **members):
        return self.call("POST", f"/{kind}s", {kind: members})[kind]["id"]

    def publish(self, url):
        """Puts the messaging service at that URL into the catalogue, instead of where it was."""
        (service,) = self.call("GET", "/services?type=messaging")["services"]
        for old in self.call("GET", f"/endpoints?service_id={service['id']}")["endpoints"]:
            self.call("DELETE", f"/endpoints/{old['id']}")
        place = {"interface": "public", "region_id": REGION, "url": url}
        self.create("endpoint", service_id=service["id"], **place)


def make():
    administrator = Administrator()
    roles = {role["name"]: role["id"] for role in administrator.call("GET", "/roles")["roles"]}
    users, projects = {}, {}
    for user, project, role in ASSIGNMENTS:
        if project not in projects:
            projects[project] = administrator.create("project", name=project, domain_id=DOMAIN)
        users[user] = administrator.create("user", name=user, domain_id=DOMAIN, password=PASSWORD)
        assignment = f"/projects/{projects[project]}/users/{users[user]}/roles/{roles[role]}"
        administrator.call("PUT", assignment)
    administrator.create("service", name="zaqar", type="messaging")


if __name__ == "__main__":
    make()
