"""What schemathesis does not know of by itself."""

import json

import schemathesis


@schemathesis.serializer("application/openstack-messaging-v2.0-json-patch")
def json_patch(ctx, value):
    """Changes to a queue's metadata are JSON under a name of their own."""
    return json.dumps(value).encode()
