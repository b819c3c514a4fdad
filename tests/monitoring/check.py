"""A real Prometheus scrapes a real server and a real worker: each query of the dashboard has data there, each alert's query is valid
and quiet, and each alert has its section in docs/operations.md.

check.py SERVER CLI, with LEASEHOLD_PYTHON and LEASEHOLD_PYTHON_STUBS as tests/run sets them. Takes half a minute.
"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
MONITORING = ROOT / "deploy/monitoring"
ELECTION = "demo/watched"
RATE_WINDOW = "20s"  # What Grafana puts in the place of $__rate_interval.
# Three replicas are what these alerts ask for; here is one server, and one worker that leads.
ALONE = {"LeaseholdTooFewReplicas"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, seconds, fact):
    """Asks until the fact is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := fact():
                return found
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"not within {seconds} s: {what}")


def fetch(url):
    with urllib.request.urlopen(url, timeout=10) as response:
        return json.load(response)


class Prometheus:
    def __init__(self, folder, targets):
        self.port = free_port()
        jobs = [{"job_name": name, "static_configs": [{"targets": [address], "labels": {"namespace": "n"}}]}
                for name, address in targets.items()]
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs,
                  "rule_files": [str(MONITORING / "alerts.yaml")]}
        (folder / "prometheus.yaml").write_text(json.dumps(config))  # JSON is YAML.
        self.command = ["prometheus", f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
                        f"--web.listen-address=127.0.0.1:{self.port}", "--log.level=warn"]

    def query(self, expression):
        query = urllib.parse.urlencode({"query": expression})
        return fetch(f"http://127.0.0.1:{self.port}/api/v1/query?{query}")["data"]["result"]

    def alerts(self):
        groups = fetch(f"http://127.0.0.1:{self.port}/api/v1/rules?type=alert")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


def panels():
    """Title and query of everything that the dashboard shows."""
    dashboard = json.loads((MONITORING / "dashboard.json").read_text())
    return [(panel["title"], target["expr"].replace("$__rate_interval", RATE_WINDOW))
            for panel in dashboard["panels"] for target in panel.get("targets", [])]


def check_dashboard(prometheus):
    found = panels()
    assert len(found) > 25, found
    empty = [f"{title}: {query}" for title, query in found if not prometheus.query(query)]
    assert not empty, "no data for\n  " + "\n  ".join(empty)
    print(f"{len(found)} queries of the dashboard have data")


def check_alerts(prometheus):
    rules = until("all rules were evaluated", 20, lambda: (rules := prometheus.alerts()) and
                  all(rule["health"] == "ok" for rule in rules) and rules)
    runbook = (ROOT / "docs/operations.md").read_text()
    for rule in rules:
        assert rule["state"] == "inactive" or rule["name"] in ALONE, f"{rule['name']} is {rule['state']}: {rule['query']}"
        assert f"### {rule['name']}\n" in runbook, f"docs/operations.md has no section for {rule['name']}"
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['name'].lower()}", rule
    assert len(rules) > 10, rules
    print(f"{len(rules)} alerts are valid and quiet, and have a runbook")


def main():
    server, cli = sys.argv[1:3]
    children = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        grpc, http, metrics = free_port(), free_port(), free_port()
        endpoint = f"127.0.0.1:{grpc}"

        def start(*command, **environment):
            log = open(folder / f"{len(children)}.log", "w")
            children.append(subprocess.Popen(command, env=os.environ | environment, stdout=log, stderr=log))

        try:
            start(server, "--listen", endpoint, "--http-listen", f"127.0.0.1:{http}", "--data-dir", f"{folder}/state",
                  "--max-ttl", "2s", "--watch-elections", ELECTION)
            until("the server is ready", 20, lambda: urllib.request.urlopen(f"http://127.0.0.1:{http}/readyz", timeout=5))
            start(os.environ["LEASEHOLD_PYTHON"], ROOT / "examples/python/worker.py", ELECTION, "--endpoint", endpoint, "--ttl", "2",
                  "--step", "0.5", PYTHONPATH=os.environ["LEASEHOLD_PYTHON_STUBS"], LEASEHOLD_METRICS_PORT=str(metrics))
            prometheus = Prometheus(folder, {"leasehold": f"127.0.0.1:{http}", "workers": f"127.0.0.1:{metrics}"})
            start(*prometheus.command)
            until("the worker leads", 20, lambda: prometheus.query("leasehold_worker_leading == 1"))
            # So that there is a refusal to count.
            subprocess.run([cli, "--endpoint", f"http://{endpoint}", "step-down", "demo/nobody"], stderr=subprocess.DEVNULL)
            until("some tasks are done", 20, lambda: prometheus.query("leasehold_worker_tasks_finished_total > 10"))
            until("a refusal was scraped twice", 20, lambda: prometheus.query(f"rate(leasehold_refusals_total[{RATE_WINDOW}])"))
            check_dashboard(prometheus)
            check_alerts(prometheus)
        except BaseException:
            for log in sorted(folder.glob("*.log")):
                print(f"--- {log.name}", "".join(log.open().readlines()[-15:]), sep="\n")
            raise
        finally:
            for child in reversed(children):
                child.kill()
                child.wait()


if __name__ == "__main__":
    main()
