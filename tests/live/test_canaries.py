"""No secret and no personal data wherever a person may look: logs at DEBUG, Flower, the console, the ledger's words.

Everything is planted first; then a system with a failing VTEX and a refusing ERP gives it every reason to complain.
"""

import contextlib
import json
from urllib.parse import urlsplit

import pytest
import redis

from .system import KEY, TOKEN, System, free_port, get

ERP_TOKEN, SIGNING, DATABASE, FLOWER = (
    "CANARYERPTOKEN",
    "CANARYSIGNINGSECRET",
    "CANARYDATABASE",
    "CANARYFLOWER",
)
CPF, NAME, EMAIL, STREET = "12345678909", "CANARY da Conceição", "canary@example.com", "Rua CANARY 42"
FAULTS = "5xx=0.06,lost=0.04,html=0.04,truncated=0.04,cut=0.02,duplicates=0.2"
#: What is kept whole, because it must be sent on: what the ERP asked for. All other words of the ledger are for people.
KEPT = ("payload",)


def invoice(value):
    """With all that an ERP may put into it."""
    customer = {"name": NAME, "document": CPF, "email": EMAIL, "address": STREET}
    return {
        "type": "Output",
        "issuanceDate": "2026-01-31",
        "invoiceNumber": "NF1",
        "invoiceValue": str(value),
        "items": [{"id": "1001", "price": value, "quantity": 1}],
        "embeddedInvoice": f"<nfe><dest>{NAME}</dest><CPF>{CPF}</CPF></nfe>",
        "customer": customer,
    }


def people(documents):
    """What orders say of their customers: what is long enough to be found in a text."""
    found = set()
    for document in documents:
        profile, shipping = document["clientProfileData"], document["shippingData"]
        address = shipping["address"]
        found |= {profile[name] for name in ("email", "document", "phone")}
        found.add(f"{profile['firstName']} {profile['lastName']}")
        found |= {address[name] for name in ("street", "receiverName", "postalCode") if address.get(name)}
    return {text for text in found if len(text) > 6}


def ledger(url):
    """All words of the records of orders and commands."""
    texts = {}
    with contextlib.closing(redis.Redis.from_url(url, decode_responses=True)) as client:
        for kind in ("o", "c"):
            for key in client.scan_iter(f"vo:teststore:{kind}:*", count=1000):
                texts |= {
                    f"{key} {name}": text for name, text in client.hgetall(key).items() if name not in KEPT
                }
    assert any(name.endswith(" log") for name in texts)
    return texts


def leaks(texts, planted):
    """Where something of what was planted is, as it is or as JSON or Python write it."""
    return [
        (where, secret)
        for where, text in texts.items()
        for secret in sorted(planted)
        if any(form in text for form in (secret, json.dumps(secret)[1:-1], ascii(secret)[1:-1]))
    ]


def test_the_scan_finds_a_leak_in_whatever_form():
    texts = {
        "a log": json.dumps({"message": "refused", "who": NAME}),
        "a page": f"<td>{CPF}</td>",
        "the ledger": f"1795650846.6|dead|{TOKEN} is not valid",
        "the console": "nothing to be seen",
    }
    found = [("a log", NAME), ("a page", CPF), ("the ledger", TOKEN)]
    assert leaks(texts, {KEY, TOKEN, CPF, NAME, EMAIL}) == found


@pytest.mark.promise("P8")
def test_nothing_that_was_planted_is_found_anywhere(tmp_path, receiver, wait_until):
    erp = receiver(token=ERP_TOKEN, secret=SIGNING)
    settings = {
        "ERP_URL": erp.url,
        "ERP_TOKEN": ERP_TOKEN,
        "ERP_SIGNING_SECRET": SIGNING,
        "FLOWER_BASIC_AUTH": f"operator:{FLOWER}",
        "FLOWER_PORT": str(free_port()),
        "LOG_LEVEL": "DEBUG",
        "WORKER_PROCESSES": "1",
        "WORKER_CONCURRENCY": "8",
    }
    with System(tmp_path / "a store", orders=12, faults=FAULTS, seed=8) as system:
        system.settings |= settings
        system.start("flower")
        up = system.start("up")
        url = system.redis_url()
        wait_until(lambda: len(erp.orders()) == 12, lambda: f"the orders\n{system.output(up)[-4000:]}")
        documents = [json.loads(text)["order"] for (text,) in erp.rows("SELECT message FROM orders")]
        planted = {KEY, TOKEN, ERP_TOKEN, SIGNING, DATABASE, FLOWER, CPF, NAME, EMAIL, STREET, "CANARY"}
        planted |= {str(urlsplit(url).password), *people(documents)}
        assert len(planted) > 30

        # what is done, what is refused, and what nobody understands
        order, other = documents[0]["orderId"], documents[1]["orderId"]
        good, bad = tmp_path / "good.json", tmp_path / "bad.json"
        good.write_text(json.dumps(invoice(documents[0]["value"])))
        bad.write_text(json.dumps(invoice(1) | {"invoiceNumber": f"{NAME}/{CPF}", "type": EMAIL}))
        said = [system.run("invoice", order, str(good), "--key", "nf-1", "--wait", "40")]
        assert said[0].returncode == 0, said[0].stderr
        said.append(system.run("invoice", other, str(bad), "--key", "nf-2"))
        said.append(system.run("invoice", f"{NAME} {CPF}", str(good), "--key", "nf-3"))
        said += [system.run(*command) for command in (("status",), ("order", order), ("dead",), ("check",))]
        said += [system.run("command", "nf-1"), system.run("status", "--json"), system.run("dead", "--json")]
        said += [system.run("order", order, "--json"), system.run("command", "nf-1", "--json")]
        # an ERP whose database is not there, one that refuses us, and a VTEX that does
        said.append(
            system.run("check", ERP_URL=f"postgresql+psycopg://erp:{DATABASE}@127.0.0.1:{free_port()}/erp")
        )
        said.append(system.run("check", ERP_TOKEN=f"{ERP_TOKEN}-wrong"))
        said.append(system.run("check", VTEX_APP_TOKEN=f"{TOKEN}-wrong"))
        texts = {f"console {n}: {one.args[3:5]}": one.stdout + one.stderr for n, one in enumerate(said)}

        user = f"operator:{FLOWER}"
        flower = f"http://127.0.0.1:{settings['FLOWER_PORT']}"
        wait_until(lambda: order in get(f"{flower}/api/tasks?limit=1000", user)[1], "Flower's tasks")
        workers = json.loads(get(f"{flower}/api/workers?refresh=1", user)[1])
        pages = ["/api/tasks?limit=1000", "/api/workers?refresh=1", "/tasks", "/broker", "/api/queues/length"]
        pages += [f"/worker/{name}" for name in workers]
        pages += [f"/task/{uuid}" for uuid in json.loads(get(f"{flower}/api/tasks?limit=40", user)[1])]
        texts |= {f"Flower {page}": get(flower + page, user)[1] for page in pages}

        texts |= ledger(url)
        system.stop(up)
        texts |= {f"log {n}": system.output(process) for n, process in enumerate(system.processes.running)}
        assert any('"level": "debug"' in text for text in texts.values())
        assert leaks(texts, planted) == []
