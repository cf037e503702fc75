"""What an operator's tools see of a whole system of processes."""

from prometheus_client.parser import text_string_to_metric_families

from .conftest import _wait_until
from .system import System, free_port, get


def samples(port):
    status, text = get(f"http://127.0.0.1:{port}/metrics")
    assert status == 200, text
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_one_port_answers_for_all_processes(tmp_path):
    port = free_port()
    with System(tmp_path / "store", orders=30) as store:
        up = store.start("up", METRICS_PORT=str(port))
        _wait_until(lambda: get(f"http://127.0.0.1:{port}/readyz")[0] == 200, "readiness")
        assert get(f"http://127.0.0.1:{port}/healthz") == (200, "ok\n")
        store.until_settled()

        def told():
            found = samples(port)
            return (
                found if found.get(("vtexorders_order_handling_seconds_count", "teststore")) == 30 else None
            )

        found = _wait_until(told, "the counts of two workers")  # they come with the next heartbeats
        audit = store.audit()
        requests = "vtexorders_vtex_requests_total"
        assert found[requests, "204", "start_handling", "teststore"] == audit["start_handling_effects"] == 30
        assert found["vtexorders_orders", "done", "teststore"] == 30
        assert found["vtexorders_erp_delivery_seconds_count", "taken", "teststore"] == 30
        assert found["vtexorders_workers",] == found["vtexorders_queue_workers", "orders"] == 2
        assert found["vtexorders_redis_up",] == found["vtexorders_redis_durable",] == 1
        assert found["vtexorders_feed_configured", "teststore"] == 1
        assert found["process_open_fds",] > 0

        said = store.json("health")
        assert sorted(one["kind"] for one in said["processes"]) == ["beat", "worker", "worker"]
        assert store.run("health", "beat", "--ready").returncode == 0
        nobody = store.run("health", "nobody")
        assert (nobody.returncode, nobody.stderr) == (1, "no nobody runs here\n")

        second = store.run("up", DATA_DIR="other", METRICS_PORT=str(port), REDIS_URL=store.redis_url())
        assert second.returncode == 1
        assert f"port {port} is taken by another program: set METRICS_PORT to another one" in second.stderr
        assert store.stop(up) == 0
        assert store.run("health").returncode == 1
    assert get(f"http://127.0.0.1:{port}/healthz")[0] == 0
