"""What the client tests share: where the server is, names nobody else uses, and the closing line."""

import os
import sys
import unittest
import uuid

try:
    ZAQAR_URL = os.environ["ZAQAR_URL"].rstrip("/")
except KeyError:
    sys.exit("ZAQAR_URL is unset; `cargo xtask test --only clients` starts a server and sets it")

TTL_MESSAGE_S = 300
TTL_CLAIM_S = 120
TTL_SUBSCRIPTION_S = 600
GRACE_S = 60


def fresh(prefix):
    """A name that no other test uses: tests share the server and leave things behind."""
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def bodies(messages):
    return [message.body for message in messages]


def main(name):
    """Runs the tests of the calling script; prints `NAME: N passed, N failed`."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    print(f"{name}: {passed} passed, {failed} failed", flush=True)
    # A run that tested nothing has shown nothing.
    sys.exit(0 if failed == 0 and passed > 0 and not result.skipped else 1)
