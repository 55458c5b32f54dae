"""What a label may be, and which hosts terms choose; the same in memory and in a query."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from core import labels
from core.contract.errors import Invalid
from core.contract.hosts import HostFacts
from core.models import Host
from core.models.base import now
from core.services import labels as labelled
from tests.core.conftest import Transaction

HOSTS = {
    "both": {"zone": "a", "disk": "ssd", "example.com/rack": "7"},
    "zone": {"zone": "b"},
    "bare": {"spare": ""},
    "none": {},
}


@pytest.mark.parametrize("key", ["a", "zone", "Zone-1_x.y", "9", "a" * 63, "example.com/rack", "a/b", "b" * 253 + "/a"])
def test_a_key(key: str) -> None:
    assert labels.KEY.fullmatch(key)


BAD = ("", "-a", "a-", ".a", "a b", "ä", "a" * 64, "/a", "a/", "a/b/c", "A.com/b", "-a/b", "a..b/c", "b" * 254 + "/a")


@pytest.mark.parametrize("key", [*BAD, "a\n", "a=b", "a,b", "!a"])
def test_no_key(key: str) -> None:
    assert not labels.KEY.fullmatch(key)


def test_values() -> None:
    assert all(labels.VALUE.fullmatch(value) for value in ("", "a", "0", "A-b_c.d", "x" * 63))
    assert not any(labels.VALUE.fullmatch(value) for value in ("-", "a-", "a b", "x" * 64, "a/b", "ä", "a\n"))


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("", ["bare", "both", "none", "zone"]),
        ("zone=a", ["both"]),
        ("zone==a", ["both"]),
        ("zone", ["both", "zone"]),
        ("!zone", ["bare", "none"]),
        ("zone!=a", ["bare", "none", "zone"]),
        ("spare=", ["bare"]),
        ("spare", ["bare"]),
        ("zone!=b,disk=ssd", ["both"]),
        (" zone , disk!=ssd ", ["zone"]),
        ("example.com/rack=7", ["both"]),
        ("zone=a,zone=b", []),
    ],
)
def test_terms_choose_alike_in_memory_and_in_the_record(transaction: Transaction, text: str, hosts: list[str]) -> None:
    terms = labels.terms(text)
    assert labels.terms(",".join(map(str, terms))) == terms
    assert sorted(name for name, has in HOSTS.items() if labels.all_hold(terms, has)) == hosts
    with transaction() as session:
        for name, has in HOSTS.items():
            session.add(_host(name))
            session.flush()
            session.execute(update(Host).where(Host.name == name).values(labels=has))
        query = select(Host.name).where(*labelled.condition(terms)).order_by(Host.name)
        assert list(session.scalars(query)) == hosts


def _host(name: str) -> Host:
    room = {"offered_vcpus": 1, "offered_memory_mb": 1, "offered_disk_gb": 1}
    told = {"drivers": [], "images": [], "facts": HostFacts(), "last_seen_at": now()}
    return Host(name=name, boot_id="b", generation=1, **room, **told)


@pytest.mark.parametrize("text", [",", "zone=a,", "=a", "!", "!=a", "zone=a b", "zone=a=b", "!zone=a", "zo ne", "a>1"])
def test_what_are_no_terms(text: str) -> None:
    with pytest.raises(Invalid, match="is not a term for labels"):
        labels.terms(text)


def test_how_many_terms_may_be() -> None:
    assert len(labels.terms(",".join(["a"] * labels.MOST))) == labels.MOST
    with pytest.raises(Invalid, match="at most 64"):
        labels.terms(",".join(["a"] * (labels.MOST + 1)))
