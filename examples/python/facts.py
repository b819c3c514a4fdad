"""What the worker tells: a line a fact on standard output, and metrics.

Lines are JSON where nobody reads along (LEASEHOLD_LOG_FORMAT=json, or standard output isn't a terminal), and readable otherwise.
Metrics are served on the port in LEASEHOLD_METRICS_PORT, if prometheus_client is installed.
"""

import contextlib
import datetime
import json
import os
import sys
import threading
import time

try:
    import prometheus_client as prometheus
except ImportError:
    prometheus = None

FORMAT = os.environ.get("LEASEHOLD_LOG_FORMAT") or ("text" if sys.stdout.isatty() else "json")


def timestamp(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def say(fact, candidacy=None, level="INFO", **fields):
    """Says it, in one piece, as several threads have something to say. A terminal shows only what
    isn't known there."""
    if FORMAT == "json":
        line = json.dumps({"timestamp": timestamp(time.time()), "level": level, "message": fact, **of(candidacy), **fields})
    else:
        line = " ".join([fact, *(f"{name}={value}" for name, value in fields.items() if name not in ("start", "end"))])
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def of(candidacy):
    """Whose candidacy a fact is about."""
    if not candidacy:
        return {}
    whose = {"election": candidacy.election, "candidate": candidacy.candidate, "tenure": candidacy.service.tenure}
    return {**whose, "token": candidacy.token} if candidacy.token else whose


def warn(text):
    if FORMAT == "json":
        say(text, level="WARN")
    else:
        print(text, file=sys.stderr, flush=True)


class Tasks:
    """Log and metrics of the leader's tasks."""

    def __init__(self):
        self.leader = None  # The candidacy that leads, or led last.
        self.running, self.lock = None, threading.Lock()
        self.counters, self.durations = {}, None
        port = os.environ.get("LEASEHOLD_METRICS_PORT")
        if prometheus:
            self.register()
        if port and not prometheus:
            warn("no metrics: prometheus_client isn't installed")
        elif port:
            server = prometheus.start_http_server(int(port))
            # Older versions don't say where: then it is where it was asked for.
            say("metrics", port=server[0].server_port if server else int(port))

    def register(self):
        prometheus.disable_created_metrics()
        for name, text in (("started", "begun"), ("finished", "done to the end"), ("failed", "that raised an exception"),
                           ("abandoned", "given up: the lead was lost, or the worker told to stop")):
            self.counters[name] = prometheus.Counter(f"leasehold_worker_tasks_{name}", f"Tasks {text}.")
        self.durations = prometheus.Histogram("leasehold_worker_task_duration_seconds", "From start to end of a task.",
                                              buckets=(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300))
        leading = prometheus.Gauge("leasehold_worker_leading", "1 while this worker leads, by its own clock.")
        leading.set_function(lambda: int(bool(self.leader and self.leader.check())))

    def count(self, what):
        if self.counters:
            self.counters[what].inc()

    @contextlib.contextmanager
    def task(self, candidacy, token):
        """A task, from its start to its end, which may be an exception: Abandoned, or a failure."""
        start = time.time()
        self.running = candidacy, token, start
        say("task step", candidacy, token=token, start=timestamp(start))
        self.count("started")
        try:
            yield
        except Abandoned:
            self.end("abandoned")
        except Exception as error:
            warn(f"the task failed: {error!r}")
            self.end("failed")
            time.sleep(1)  # What fails at once fails once a second.
        else:
            self.end("finished")

    def end(self, outcome):
        """The running task ends; once, whoever says so first."""
        with self.lock:
            running, self.running = self.running, None
        if running:
            candidacy, token, start = running
            end = time.time()
            self.count(outcome)
            if self.durations:
                self.durations.observe(end - start)
            say("task ended", candidacy, token=token, start=timestamp(start), end=timestamp(end),
                duration_s=round(end - start, 3), outcome=outcome)


class Abandoned(Exception):
    """The worker doesn't lead any more, or was told to stop, in the middle of a task."""
