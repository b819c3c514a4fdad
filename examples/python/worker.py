"""A worker that does its task only while it leads an election, and gives up the lead when its task hangs.

The election is in election.py, what the worker tells in facts.py; the task stands here: put your own into Job.step.
"""

import argparse
import os
import signal
import socket
import sys
import threading
import time

from election import Candidacy, Service, pb
from facts import Abandoned, Tasks, say

TICK = 0.1  # Seconds between two looks at the task.
UNHEALTHY = 77  # The exit code of `leasehold run` for the same.
# After these the service has to be told. After other ends it knows.
LEAVES = ("", "UNHEALTHY", "DRAINING")


class Job(threading.Thread):
    """The leader's task, step by step, in a thread of its own: so the worker notices when it
    hangs."""

    # For the demonstration: from its next step on the task hangs, and listens to nothing.
    hang = threading.Event()

    def __init__(self, candidacy, token, stop, tasks, step_seconds):
        super().__init__(daemon=True)
        self.candidacy, self.token, self.stop, self.tasks, self.step_seconds = candidacy, token, stop, tasks, step_seconds
        # Looks since the last progress. Counted, not timed: a process that was paused hasn't hung.
        self.idle_ticks = 0

    def may_go_on(self):
        return not self.stop.is_set() and self.candidacy.check() == self.token

    def run(self):
        while self.may_go_on():
            with self.tasks.task(self.candidacy, self.token):
                self.step(self.token)

    def step(self, token):
        """The work: pass the token on with each write to the resource, and report progress within
        --hang-timeout."""
        end = time.monotonic() + self.step_seconds
        while self.hang.is_set():
            time.sleep(1)
        while (left := end - time.monotonic()) > 0:
            self.idle_ticks = 0
            self.stop.wait(min(left, TICK))
            if not self.may_go_on():
                raise Abandoned


def watch(job, hang_timeout):
    """Returns when the task has ended. If it hangs: resigns, so that the next one leads now and not
    after the ttl, and exits."""
    while job.is_alive():
        job.join(TICK)
        job.idle_ticks += 1
        if job.idle_ticks * TICK < hang_timeout:
            continue
        candidacy = job.candidacy
        candidacy.end("UNHEALTHY")
        job.tasks.end("abandoned")
        if candidacy.over in LEAVES:
            candidacy.resign()
        say("unhealthy", candidacy, level="ERROR", idle_s=round(job.idle_ticks * TICK, 1))
        # A thread that hangs can't be ended; only with the process is it sure to do nothing more.
        os._exit(UNHEALTHY)


def campaign(candidacy, stop, tasks, args):
    """Does the task step by step whenever the candidacy leads, until it is over or the worker is
    told to stop."""
    tasks.leader = candidacy
    while not (candidacy.over or stop.is_set()):
        if token := candidacy.check():
            job = Job(candidacy, token, stop, tasks, args.step)
            job.start()
            watch(job, args.hang_timeout)
        with candidacy.changed:
            candidacy.changed.wait_for(lambda: candidacy.leads or candidacy.over, timeout=TICK)
    if candidacy.over == "FATAL":
        sys.exit(1)
    if candidacy.ticket and candidacy.over in LEAVES:
        candidacy.resign()  # Before it enters again, or it would queue behind itself.


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("election", help="e.g. billing/nightly-report")
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}", help="label of this candidate")
    parser.add_argument("--endpoint", default=os.environ.get("LEASEHOLD_ENDPOINT") or "127.0.0.1:7400",
                        help="the service; of several addresses, with commas between them, one is used at a time")
    parser.add_argument("--ttl", type=float, default=15, help="seconds that the lead outlives this process")
    parser.add_argument("--step", type=float, default=1, help="seconds that a step of the task takes")
    parser.add_argument("--hang-timeout", type=float, default=5, help="seconds without progress of a task that hangs")
    parser.add_argument("--replace-former", action="store_true", help="the former process of this name is surely dead")
    args = parser.parse_args()
    stop = threading.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: Job.hang.set())
    request = pb.CampaignRequest(election=args.election, candidate=args.name, replace_former=args.replace_former)
    request.ttl.FromMilliseconds(round(args.ttl * 1000))
    tasks = Tasks()
    service = Service(args.endpoint)
    while not stop.is_set():
        campaign(Candidacy(service, request), stop, tasks, args)
        # Said once, at the start: what came before this process is dead.
        request.replace_former = False


if __name__ == "__main__":
    main()
