"""What a stolen agent's credentials are good for in Redis: its own host, and nothing of anybody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from core.contract import channels
from core.contract.states import Kind
from core.services.identities import accounts
from tests.agent.hosts import Host
from tests.support.accounts import SECRET, account
from tests.support.waiting import until

OWN, OTHER, CALL = "stolen", "victim", "6d0d7c1c"
QUEUE, CALLS, REPORTS = channels.command_queue, channels.calls, channels.reports
REPLY = channels.parked_reply

REFUSED = {
    "take another's command": ["BRPOP", QUEUE(OTHER), 1],
    "take another's command beside one's own": ["BRPOP", QUEUE(OWN), QUEUE(OTHER), 1],
    "take another's command at once": ["RPOP", QUEUE(OTHER)],
    "read another's commands": ["LRANGE", QUEUE(OTHER), 0, -1],
    "count another's commands": ["LLEN", QUEUE(OTHER)],
    "command another": ["LPUSH", QUEUE(OTHER), "x"],
    "command oneself": ["LPUSH", QUEUE(OWN), "x"],
    "drop another's commands": ["DEL", QUEUE(OTHER)],
    "trim another's commands": ["LTRIM", QUEUE(OTHER), 1, 0],
    "rename another's commands": ["RENAME", QUEUE(OTHER), QUEUE(OWN)],
    "move another's command": ["LMOVE", QUEUE(OTHER), QUEUE(OWN), "LEFT", "LEFT"],
    "wait for another's command to move": ["BLMOVE", QUEUE(OTHER), QUEUE(OWN), "LEFT", "LEFT", 1],
    "copy another's commands": ["COPY", QUEUE(OTHER), QUEUE(OWN)],
    "have another's commands lapse": ["EXPIRE", QUEUE(OTHER), 1],
    "take another's call": ["BLPOP", CALLS(OTHER), 1],
    "ask another": ["RPUSH", CALLS(OTHER), "x"],
    "report for another": ["RPUSH", REPORTS(OTHER), "x"],
    "drop another's reports": ["DEL", REPORTS(OTHER)],
    "read one's own reports": ["LRANGE", REPORTS(OWN), 0, -1],
    "read another's dead reports": ["LRANGE", channels.dead_reports(OTHER), 0, -1],
    "beat for another": ["SET", channels.heartbeat(OTHER), "x"],
    "silence another": ["DEL", channels.heartbeat(OTHER)],
    "put one's key in another's place": ["SET", channels.call_key(OTHER), "x"],
    "take another's name": ["SET", channels.lease(OTHER), "x"],
    "end another's lease": ["DEL", channels.lease(OTHER)],
    "tell whose home is believed": ["SET", channels.home(OTHER), "x"],
    "tell that one's own home is": ["SET", channels.home(OWN), "x"],
    "slander another": ["SET", channels.claim(OTHER), "x"],
    "use for another": ["SET", channels.usage(OTHER), "x"],
    "use for another's VMs": ["HSET", channels.vm_usage(OTHER), "vm", "x"],
    "read another's VMs' use": ["HGETALL", channels.vm_usage(OTHER)],
    "read another's reply": ["GET", REPLY(OTHER, CALL)],
    "take another's reply": ["GETDEL", REPLY(OTHER, CALL)],
    "write another's reply": ["SET", REPLY(OTHER, CALL), "x"],
    "say that there is no fence": ["SET", channels.fence(OWN), "x"],
    "read another's fence": ["GET", channels.fence(OTHER)],
    "read a reply of one's own": ["GET", REPLY(OWN, CALL)],
    "write a reply and read the one before": ["SET", REPLY(OWN, CALL), "x", "GET"],
    "push to the control plane's tasks": ["LPUSH", channels.CONTROL_QUEUE, "x"],
    "take the control plane's tasks": ["BRPOP", channels.CONTROL_QUEUE, 1],
    "be a worker": ["ZADD", channels.WORKERS, 1, "x"],
    "have swept": ["SET", channels.SWEPT, "1"],
    "watch another's key": ["WATCH", QUEUE(OTHER)],
    "run a script": ["EVAL", "return 1", 0],
    "run a script on one's own key": ["EVAL", "return redis.call('DEL', KEYS[1])", 1, channels.lease(OWN)],
    "run a known script": ["EVALSHA", "0" * 40, 0],
    "load a script": ["SCRIPT", "LOAD", "return 1"],
    "load a function": ["FUNCTION", "LOAD", "x"],
    "look for keys": ["KEYS", "*"],
    "go through the keys": ["SCAN", 0],
    "name a key at random": ["RANDOMKEY"],
    "count the keys": ["DBSIZE"],
    "empty Redis": ["FLUSHALL"],
    "empty the database": ["FLUSHDB"],
    "change a setting": ["CONFIG", "SET", "requirepass", "x"],
    "read the settings": ["CONFIG", "GET", "*"],
    "make a user": ["ACL", "SETUSER", "x", "on", "nopass", "+@all", "~*"],
    "list the users": ["ACL", "LIST"],
    "remove a user": ["ACL", "DELUSER", channels.account(OTHER)],
    "listen to all commands": ["MONITOR"],
    "ask about the server": ["INFO"],
    "list the connections": ["CLIENT", "LIST"],
    "end a connection": ["CLIENT", "KILL", "TYPE", "normal"],
    "pause everyone": ["CLIENT", "PAUSE", 1000],
    "read the slow log": ["SLOWLOG", "GET"],
    "make it a replica": ["REPLICAOF", "127.0.0.1", 1],
    "save": ["SAVE"],
    "shut it down": ["SHUTDOWN", "NOSAVE"],
    "take another's data elsewhere": ["DUMP", QUEUE(OTHER)],
    "restore data": ["RESTORE", QUEUE(OTHER), 0, "x"],
    "sort another's": ["SORT", QUEUE(OTHER)],
    "add to a stream": ["XADD", REPORTS(OTHER), "*", "a", "b"],
    "publish events": ["PUBLISH", channels.EVENTS, "[]"],
    "publish as the API's end of a stream": ["PUBLISH", channels.stream("x", "agent"), "x"],
    "publish elsewhere": ["PUBLISH", "__keyspace@0__:x", "x"],
    "hear events": ["SUBSCRIBE", channels.EVENTS],
    "hear replies": ["SUBSCRIBE", channels.replies("api")],
    "hear all replies": ["PSUBSCRIBE", channels.replies("*")],
    "hear all streams": ["PSUBSCRIBE", channels.stream("*", "agent")],
    "hear who reports": ["SUBSCRIBE", channels.REPORTS_WAKEUP],
    "hear what others' agents do": ["PSUBSCRIBE", "/0.celeryev/*"],
    "list the channels": ["PUBSUB", "CHANNELS"],
    "go to another database": ["SELECT", 1],
    "move to another database": ["MOVE", channels.lease(OWN), 1],
}


def client(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=5, retry=Retry(NoBackoff(), 0))


@pytest.fixture(scope="module")
def stolen(redis_url: str) -> Iterator[Redis]:
    """A connection with the credentials of one host's agent, where there are others."""
    with client(redis_url) as everyones:
        account(everyones, redis_url, OTHER)
        with client(account(everyones, redis_url, OWN)) as made:
            yield made


@pytest.mark.parametrize("command", REFUSED.values(), ids=REFUSED.keys())
def test_refused_to_a_stolen_agent(stolen: Redis, command: list[str | int]) -> None:
    with pytest.raises(NoPermissionError):
        stolen.execute_command(*command)  # type: ignore[no-untyped-call]


ALLOWED = {
    "take one's command": ["BRPOP", QUEUE(OWN), 0.01],
    "take one's call": ["BLPOP", CALLS(OWN), 0.01],
    "report": ["RPUSH", REPORTS(OWN), "x"],
    "beat": ["SET", channels.heartbeat(OWN), "x"],
    "have the name": ["SET", channels.lease(OWN), "x"],
    "watch the name": ["WATCH", channels.lease(OWN)],
    "begin a transaction": ["MULTI"],
    "ask whose home is believed": ["GET", channels.home(OWN)],
    "reply": ["PUBLISH", channels.replies("api"), "x"],
    "say who reports": ["PUBLISH", channels.REPORTS_WAKEUP, "x"],
    "listen": ["SUBSCRIBE", channels.stream("x", "agent")],
}


@pytest.fixture(scope="module")
def fenced(redis_url: str) -> Iterator[Redis]:
    """A connection with the credentials of a host that is behind a fence."""
    with client(redis_url) as everyones:
        url = account(everyones, redis_url, "fenced")
        accounts.grant(everyones, {"fenced": accounts.HostAccount(accounts.digest(SECRET), closed=True)})
        with client(url) as made:
            yield made


@pytest.mark.parametrize("command", [*REFUSED.values(), *ALLOWED.values()], ids=[*REFUSED, *ALLOWED])
def test_refused_to_a_fenced_agent(fenced: Redis, command: list[str | int]) -> None:
    own = [part.replace(OWN, "fenced") if isinstance(part, str) else part for part in command]
    with pytest.raises(NoPermissionError):
        fenced.execute_command(*own)  # type: ignore[no-untyped-call]


def test_a_fenced_agent_may_ask_whether_it_is(fenced: Redis) -> None:
    assert fenced.get(channels.fence("fenced")) is None
    with pytest.raises(NoPermissionError):
        fenced.get(channels.fence(OTHER))
    with pytest.raises(NoPermissionError):
        fenced.set(channels.fence("fenced"), "x")


def test_its_connections_are_closed(redis_url: str) -> None:
    """One that waits would get the next message all the same."""
    with client(redis_url) as everyones, client(account(everyones, redis_url, "online")) as its:
        its.ping()
        accounts.grant(everyones, {"online": accounts.HostAccount(accounts.digest(SECRET), closed=True)})
        there: Any = everyones.client_list()
        assert [each for each in there if each["user"] == channels.account("online")] == []


def test_nothing_that_an_agent_does_is_refused(host: Host) -> None:
    host.redis.acl_log_reset()
    host.start()
    vm = host.made()
    assert host.do(Kind.START, vm).phase == "succeeded"
    assert host.call("execute", vm, command="true", timeout_seconds=5).result["exit_code"] == 0
    until(lambda: host.redis.exists(channels.usage(host.name), channels.vm_usage(host.name)) == 2)
    host.terminate()
    refused: Any = host.redis.acl_log()
    # Servers since Redis 7.2 are offered the client's name, which redis-py does without.
    its = [entry for entry in refused if entry["username"] == channels.account(host.name)]
    assert [entry for entry in its if entry["object"] != "client|setinfo"] == []


def test_another_secret_opens_nothing(redis_url: str) -> None:
    with client(redis_url) as everyones:
        url = account(everyones, redis_url, OWN)
        with client(url.replace(":a", ":b")) as guessing, pytest.raises(AuthenticationError):
            guessing.ping()
