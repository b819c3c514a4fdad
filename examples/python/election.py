"""One candidacy in an election, with nothing but grpcio: the part to take over into a worker of your own.

Its own deadline is (moment before the last accepted KeepAlive was sent) + ttl. Past it, it isn't leader in its own eyes,
whatever arrives later; and each write goes out with the fencing token, so that the resource can refuse a former leader.
"""

import threading
import time

import grpc
from facts import say, warn
from leasehold.v1 import election_pb2 as pb
from leasehold.v1 import election_pb2_grpc as rpc

FATAL = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}
GONE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
CHANNEL = [  # Notice a dead connection within 15 s, give up a new one after 2 s, and try again at least every second.
    ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.min_reconnect_backoff_ms", 2_000), ("grpc.use_local_subchannel_pool", 1),
]


def now():
    """Seconds on a clock that goes on while the machine is suspended; time.monotonic() stands still then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Service:
    """The replicas: the next address, over a new connection, when the one in use is gone, and the highest tenure seen."""

    def __init__(self, endpoints):
        self.addresses = [endpoint.strip().removeprefix("http://") for endpoint in endpoints.split(",")]
        self.lock, self.tenure = threading.Lock(), 0
        self.connect(0)

    def connect(self, at):
        channel = grpc.insecure_channel(self.addresses[at % len(self.addresses)], options=CHANNEL)
        self.current = at, rpc.ElectionServiceStub(channel)

    def leave(self, at):
        """Goes on, unless somebody did since `at`. A stream that is open stays where it is until it breaks."""
        with self.lock:
            if self.current[0] == at:
                self.connect(at + 1)

    def admit(self, tenure, at):
        """Whether this isn't the word of a replica that was replaced since."""
        with self.lock:
            self.tenure = max(self.tenure, tenure)
        if tenure < self.tenure:
            self.leave(at)
        return tenure == self.tenure


class Candidacy:
    """One candidacy, from Campaign to its end. Once `over` says why it ended, it leads no more, for good."""

    def __init__(self, service, request):
        self.service, self.request, self.ttl = service, request, request.ttl.ToMilliseconds() / 1000
        self.election, self.candidate, self.tenure = request.election, request.candidate, 0
        self.changed = threading.Condition()  # Guards what follows, and tells when it changes.
        self.ticket, self.token, self.deadline, self.over = b"", 0, 0.0, ""
        for job in (self.follow, self.keep_alive):
            threading.Thread(target=job, daemon=True).start()

    def check(self):
        """The fencing token if this candidacy leads at this moment, else 0. Call it before each step of the task."""
        with self.changed:
            if self.token and now() >= self.deadline:
                self.end("DEADLINE")
            return 0 if self.over else self.token

    def end(self, reason):
        """Over, for good; the first reason stays. Said before anybody can find out and say what follows from it."""
        with self.changed:
            if not self.over:
                self.over = reason
                if reason != "RESIGNED":
                    say("lost", self, reason=reason)
            self.changed.notify_all()

    def follow(self):
        """Reads the Campaign stream; when it breaks, opens it again with the ticket, which extends nothing."""
        while not self.over:
            request = pb.CampaignRequest(ticket=self.ticket) if self.ticket else self.request
            (at, stub), sent = self.service.current, now()
            try:
                for event in stub.Campaign(request):
                    if self.service.admit(event.tenure, at):
                        self.tenure = event.tenure
                        self.take(event, sent)
            except grpc.RpcError as error:
                if error.code() in GONE:
                    self.service.leave(at)
                if error.code() in FATAL:
                    warn(error.details())
                    self.end("REFUSED" if request.ticket else "FATAL")
            time.sleep(0.2)

    def take(self, event, sent):
        with self.changed:
            if self.over:
                return
            kind = event.WhichOneof("event")
            if kind == "enrolled" and not self.ticket:
                # Sending Campaign counts as the first KeepAlive.
                self.ticket, self.deadline = event.enrolled.ticket, sent + self.ttl
            elif kind == "waiting":
                say("waiting", self, ahead=event.waiting.ahead)
            elif kind == "elected":
                self.ticket, self.token = event.elected.ticket, event.elected.fencing_token
            elif kind == "draining":
                self.end("DRAINING")
            elif kind == "ended":
                self.end(pb.EndReason.Name(event.ended.reason).removeprefix("END_REASON_"))
            self.changed.notify_all()

    def keep_alive(self):
        with self.changed:
            self.changed.wait_for(lambda: self.ticket or self.over)
        while not self.over:
            request = pb.KeepAliveRequest(items=[pb.KeepAliveItem(ticket=self.ticket)])
            (at, stub), sent = self.service.current, now()
            try:
                answer = stub.KeepAlive(request, timeout=self.ttl / 4)
            except grpc.RpcError as error:
                answer = None
                if error.code() in GONE:
                    self.service.leave(at)
            if answer is None or not self.service.admit(answer.tenure, at):
                time.sleep(self.ttl / 20)  # A call that failed extends nothing; there is time for another.
                continue
            self.tenure = answer.tenure
            self.kept(answer.results[0], sent)
            time.sleep(max(0.0, sent + self.ttl / 3 - now()))

    def kept(self, result, sent):
        with self.changed:
            self.check()  # A deadline that has passed isn't brought back by a late answer.
            if self.over:
                return
            state = pb.CandidacyState.Name(result.state).removeprefix("CANDIDACY_STATE_")
            if state in ("WAITING", "LEADING"):
                self.deadline = max(self.deadline, sent + self.ttl)
                if state == "LEADING" or not self.token:  # An answer may be older than the grant on the stream.
                    self.ticket, self.token = result.ticket, result.fencing_token
            elif state == "ENDED":
                self.end(pb.EndReason.Name(result.end_reason).removeprefix("END_REASON_"))
            else:
                self.end(state)
            self.changed.notify_all()

    def resign(self):
        """Leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used again."""
        self.end("RESIGNED")
        try:
            self.service.current[1].Resign(pb.ResignRequest(ticket=self.ticket), timeout=2)
        except grpc.RpcError:
            pass  # Then it runs out by itself.
        say("resigned", self)
