"""Keystone on a database of its own, on a free port, until standard input ends.

    serve.py FOLDER

The administrator is `admin` in the project `admin` of the domain `default`, with the password in
OS_BOOTSTRAP_PASSWORD. FOLDER/url holds the URL once it is served; FOLDER/keystone.log is Keystone's.
"""

import os
import pathlib
import socketserver
import subprocess
import sys
import threading
import wsgiref.simple_server

CONFIG = """\
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db?timeout=60
[token]
provider = fernet
[fernet_tokens]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
[cache]
enabled = false
[identity]
# The fewest there may be: logging in is not what is tested.
password_hash_rounds = 4
"""


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_arguments):
        pass


def manage(config, *arguments):
    program = pathlib.Path(sys.executable).with_name("keystone-manage")
    command = [sys.executable, str(program), "--config-file", str(config), *arguments]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def prepare(folder, url):
    """Makes configuration, keys, tables and the administrator."""
    config = folder / "keystone.conf"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    independent = [
        manage(config, "db_sync"),
        manage(config, "fernet_setup", *owner),
        manage(config, "credential_setup", *owner),
    ]
    statuses = [each.wait() for each in independent]
    urls = [f"--bootstrap-{kind}-url={url}" for kind in ("admin", "internal", "public")]
    statuses.append(manage(config, "bootstrap", "--bootstrap-region-id=RegionOne", *urls).wait())
    if any(statuses):
        sys.exit(f"keystone-manage failed: {statuses}")
    return config


def application(config):
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(config)
    # It takes the command line for its own.
    sys.argv = ["keystone"]
    from keystone.wsgi.api import application

    return application


def end_with_standard_input():
    sys.stdin.read()
    os._exit(0)


def main(folder):
    threading.Thread(target=end_with_standard_input, daemon=True).start()
    # The port is taken before the URL is made known to anything.
    server = Server(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}/v3"
    server.set_app(application(prepare(folder, url)))
    written = folder / "url.new"
    written.write_text(url, encoding="utf-8")
    written.rename(folder / "url")
    server.serve_forever()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve())
