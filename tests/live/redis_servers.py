"""Redis as in production: users with few rights, a replica, Sentinels. Real servers, all started here."""

import contextlib
import re

import redis

from workers import embedded

from .conftest import ROOT, _wait_until

ACL = ROOT / "deploy" / "redis" / "users.acl"
WATCHERS, QUORUM = 3, 2
SERVICE = "orders"


def password(user):
    """What :func:`users` gives to the user of that name."""
    return f"secret-of-{user}"


def users():
    """The shipped ACL file with passwords filled in."""
    return re.sub(r"CHANGE-ME-([A-Z]+)", lambda found: password(found[1].lower()), ACL.read_text())


class RedisServers:
    """A primary and a replica with the shipped users, and Sentinels that watch them."""

    def __init__(self, processes, folder, ports):
        self._processes = processes
        self._folder = folder
        self.ports = [next(ports), next(ports)]
        self.watchers = [next(ports) for _ in range(WATCHERS)]
        self.servers = [self._server(n) for n in range(2)]
        _wait_until(lambda: self._role(0) == "master", "the primary")
        _wait_until(self._linked, "the replica")
        for n in range(WATCHERS):
            self._watcher(n)
        _wait_until(self._watched, "the Sentinels")

    @property
    def url(self):
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.watchers)
        return f"sentinel://worker:{password('worker')}@{hosts}/{SERVICE}/0"

    def as_user(self, user, n=0):
        """A client of one server."""
        return redis.Redis(port=self.ports[n], username=user, password=password(user), decode_responses=True)

    def kill_primary(self):
        """``kill -9`` of the server that is the primary at the start."""
        self._processes.kill(self.servers[0])

    def promoted(self):
        """Whether the replica took over."""
        return self._role(1) == "master"

    def _server(self, n):
        folder = self._folder / f"server-{n}"
        folder.mkdir(parents=True)
        (folder / "users.acl").write_text(users())
        lines = [
            f"port {self.ports[n]}",
            "bind 127.0.0.1",
            f'dir "{folder}"',
            f'aclfile "{folder / "users.acl"}"',
            "appendonly yes",
            'save ""',
            "maxmemory-policy noeviction",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",
            "primaryuser replica",
            f"primaryauth {password('replica')}",
        ]
        if n:
            lines.append(f"replicaof 127.0.0.1 {self.ports[0]}")
        return self._start(folder / "server.conf", lines)

    def _watcher(self, n):
        lines = [
            f"port {self.watchers[n]}",
            "bind 127.0.0.1",
            f'dir "{self._folder}"',
            f"requirepass {password('watchers')}",
            f"sentinel sentinel-pass {password('watchers')}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self.ports[0]} {QUORUM}",
            f"sentinel auth-user {SERVICE} sentinel",
            f"sentinel auth-pass {SERVICE} {password('sentinel')}",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 5000",
        ]
        self._start(self._folder / f"sentinel-{n}.conf", lines, "--sentinel")

    def _start(self, conf, lines, *options):
        conf.write_text("\n".join([*lines, ""]))
        return self._processes.start([embedded.binary(), conf, *options])

    def _role(self, n):
        with contextlib.suppress(redis.RedisError), contextlib.closing(self.as_user("sentinel", n)) as client:
            return client.info("replication")["role"]

    def _linked(self):
        with contextlib.suppress(redis.RedisError), contextlib.closing(self.as_user("sentinel", 1)) as client:
            return client.info("replication").get("master_link_status") == "up"

    def _watched(self):
        for port in self.watchers:
            with contextlib.closing(
                redis.Redis(port=port, password=password("watchers"), decode_responses=True)
            ) as client:
                try:
                    seen = client.sentinel_master(SERVICE)
                except redis.RedisError:
                    return False
                if seen["num-slaves"] < 1 or seen["num-other-sentinels"] < WATCHERS - 1:
                    return False
        return True
