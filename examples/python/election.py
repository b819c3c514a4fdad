"""One candidacy in an election, with nothing but grpcio: the part to take over into your own worker.

It does what the table at ElectionService in election.proto says. A worker leads while the last word
of the service said so, and its own deadline lies ahead: (moment before the last accepted KeepAlive
was sent) + ttl. Each write goes out with the fencing token, so that the resource can refuse a former
leader.
"""

import os
import pathlib
import threading
import time
import uuid

import grpc
from facts import say
from leasehold.v1 import election_pb2 as pb
from leasehold.v1 import election_pb2_grpc as rpc

Code = grpc.StatusCode
# What the service itself refuses with: so, another replica may do better; and the same call may
# succeed later.
GONE = {Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED}
TEMPORARY = GONE | {Code.RESOURCE_EXHAUSTED, Code.ABORTED}
CHANNEL = [
    # A connection can go silent without ever breaking: ping it, and give it up when nothing comes
    # back.
    ("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 5_000),
    # A new channel would otherwise share the silent connection of the old one.
    ("grpc.use_local_subchannel_pool", 1),
    # By default a connection is waited for 20 s, and the next one is tried up to 2 minutes later.
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1_000),
    # http_proxy and its like are meant for other traffic. Without this line they are used.
    ("grpc.enable_http_proxy", 0),
]


def now():
    """Seconds on a clock that goes on while the machine is suspended; time.monotonic() stands still
    then."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def name(reason):
    known = reason in pb.EndReason.values()
    return pb.EndReason.Name(reason).removeprefix("END_REASON_") if known else str(reason)


def ours(error):
    """Whether the service itself says so, and not a proxy, another program or the library: then the
    status has an ErrorInfo, whose domain (field 2, of 9 bytes) is leasehold."""
    metadata = dict(error.trailing_metadata() or ())
    return b"\x12\x09leasehold" in metadata.get("grpc-status-details-bin", b"")


def file_of(variable):
    """What the file has that a variable of the environment names, if it names one."""
    path = os.environ.get(variable)
    return pathlib.Path(path).read_bytes() if path else None


def credentials():
    """Whom to trust, and what to show: files that may be replaced at any time. These are read anew for
    each connection, the token for each call."""
    tls = grpc.ssl_channel_credentials(*(file_of(f"LEASEHOLD_{what}") for what in ("CA", "KEY", "CERT")))
    if not os.environ.get("LEASEHOLD_TOKEN_FILE"):
        return tls

    def show(_, callback):
        token = file_of("LEASEHOLD_TOKEN_FILE").decode().strip()
        callback((("authorization", f"Bearer {token}"),), None)

    return grpc.composite_channel_credentials(tls, grpc.metadata_call_credentials(show))


class Service:
    """The replicas: the next one, over a new connection, when the one in use is gone. And what is
    known of them all."""

    def __init__(self, endpoints):
        self.endpoints = [endpoint.strip().rstrip("/") for endpoint in endpoints.split(",")]
        self.lock, self.trouble = threading.Lock(), ""
        self.tenure, self.below_since, self.last_ticket = 0, None, b""
        self.connect(0)

    def connect(self, at):
        scheme, _, address = self.endpoints[at % len(self.endpoints)].rpartition("://")
        if scheme == "https":
            channel = grpc.secure_channel(address, credentials(), options=CHANNEL)
        else:
            channel = grpc.insecure_channel(address, options=CHANNEL)
        self.current = at, rpc.ElectionServiceStub(channel)

    def leave(self, at):
        """Goes on, unless somebody did since `at`."""
        with self.lock:
            if self.current[0] == at:
                self.connect(at + 1)

    def tell(self, candidacy, trouble, why):
        """Says once what is wrong, until the service is heard again."""
        with self.lock:
            known, self.trouble = self.trouble, trouble if self.trouble != "below" else "below"
        if self.trouble != known:
            say(trouble, candidacy, level="WARN", why=why)

    def failed(self, candidacy, at, error):
        """A call failed: that extends nothing, and ends nothing. Whether the connection was left
        for it."""
        no_answer = error.code() in (Code.CANCELLED, Code.OK)
        # A stranger's message may have several lines.
        details = " ".join((error.details() or "").split())
        why = "no answer" if no_answer else f"{error.code().name}: {details}"
        gone = error.code() in GONE or not ours(error)
        if gone:
            self.leave(at)
        self.tell(candidacy, "unreachable" if gone else "refused", why)
        return gone

    def admits(self, candidacy, tenure, at):
        """Whether this isn't the word of a replica that was replaced since."""
        with self.lock:
            admitted, known = tenure >= self.tenure, self.trouble
            if admitted:
                self.tenure, self.below_since, self.trouble = tenure, None, ""
            elif self.below_since is None:
                self.below_since = now()
        if not admitted:
            self.leave(at)
        elif known:
            say("reachable", candidacy)
        return admitted

    def is_below(self, candidacy):
        """Whether nothing was admitted for longer than a ttl: the service was restored, and knows
        nothing of this tenure."""
        since = self.below_since
        if since is None or now() - since < candidacy.ttl:
            return False
        self.tell(candidacy, "below", f"it answers with lower numbers than {self.tenure}: was the service restored?")
        return True

    def resign(self, ticket):
        """Whether the service was told that this candidacy is over."""
        at, stub = self.current
        try:
            if stub.Resign(pb.ResignRequest(ticket=ticket), timeout=2) is not None:
                return True
        except grpc.RpcError:
            pass
        self.leave(at)
        return False


class Candidacy:
    """One candidacy, from Campaign to its end. It may lead more than once; when `over` says why it
    ended, never again."""

    def __init__(self, service, request):
        self.service, self.ttl = service, request.ttl.ToMilliseconds() / 1000
        self.election, self.candidate = request.election, request.candidate
        self.request = pb.CampaignRequest()
        self.request.CopyFrom(request)
        # If the answer to Campaign is lost, the next one finds what it entered.
        self.request.attempt = uuid.uuid4().hex
        self.changed = threading.Condition()  # Guards what follows, and tells when it changes.
        self.ticket, self.version, self.deadline = b"", 0, 0.0
        self.leads, self.token, self.over, self.stream = False, 0, "", None
        for job in (self.follow, self.keep_alive):
            threading.Thread(target=job, daemon=True).start()

    def check(self):
        """The fencing token if this candidacy leads at this moment, else 0. Call it before each
        step of the task."""
        with self.changed:
            if now() >= self.deadline:
                self.lose("DEADLINE")
            return self.token if self.leads else 0

    def lead(self, token):
        if token != self.check():
            self.lose("OVERTAKEN")
            if now() < self.deadline:  # Else the next KeepAlive tells whether it does.
                self.leads, self.token = True, token
                say("elected", self, token=token)

    def lose(self, reason):
        """It doesn't lead, from now on. Said before anybody can find out, and say what follows from
        it."""
        with self.changed:
            if self.leads:
                say("lost", self, reason=reason)
            self.leads = False
            self.changed.notify_all()

    def end(self, reason):
        """It is over, for good; the first reason stays."""
        with self.changed:
            if not self.over and reason != "RESIGNED":
                say("lost" if self.leads else "ended", self, reason=reason)
            self.leads, self.over = False, self.over or reason
            self.changed.notify_all()

    def is_news(self, version):
        """Whether nothing newer was heard: words can overtake each other. An end has no version,
        and is final."""
        self.version = max(self.version, version)
        return not self.over and version in (0, self.version)

    def keep(self, ticket):
        self.ticket = self.service.last_ticket = ticket

    def follow(self):
        """Reads the Campaign stream. When it breaks, with any status, opens it again, which extends
        nothing."""
        delay = 0.1
        while not self.over:
            if self.service.is_below(self):
                time.sleep(self.ttl)
                if self.ticket:
                    # The KeepAlives show it to the service, which then begins above its numbers.
                    continue
                # So does this; the candidacy is over since long.
                self.service.resign(self.service.last_ticket)
            (at, stub), sent, heard = self.service.current, now(), False
            self.stream = stub.Campaign(pb.CampaignRequest(ticket=self.ticket) if self.ticket else self.request)
            # The first word comes at once.
            silence = threading.Timer(max(1, self.ttl / 6), self.stream.cancel)
            silence.start()
            try:
                for event in self.stream:
                    silence.cancel()
                    if not self.service.admits(self, event.tenure, at):
                        if event.enrolled.ticket and not self.ticket:
                            # Nobody would listen to what was entered there.
                            self.service.resign(event.enrolled.ticket)
                        break
                    heard, delay = True, 0.1
                    self.take(event, sent)
                else:
                    raise self.stream  # It ended with OK: without a word before, that's no answer.
            except grpc.RpcError as error:
                if self.ticket and error.code() == Code.ABORTED and ours(error):
                    # Somebody else has opened it, and would lose it again. The KeepAlives tell all
                    # that it would.
                    return
                if not heard and not self.over:
                    self.service.failed(self, at, error)
                if not self.ticket and error.code() not in TEMPORARY and ours(error):
                    self.end("FATAL")
            silence.cancel()
            self.stream.cancel()
            time.sleep(delay)
            delay = min(2 * delay, 1)

    def take(self, event, sent):
        kind = event.WhichOneof("event")
        with self.changed:
            if not self.is_news(event.version) or kind == "heartbeat":
                return
            if kind == "enrolled":
                if not self.ticket:
                    # Sending Campaign counts as the first KeepAlive.
                    self.deadline = sent + self.ttl
                self.keep(event.enrolled.ticket)
            elif kind == "elected":
                self.keep(event.elected.ticket)
                self.lead(event.elected.fencing_token)
            elif kind == "draining":
                # It may finish first, until its deadline. This task can stop at once.
                self.end("DRAINING")
            elif kind == "ended":
                self.end(name(event.ended.reason))
            else:  # Waiting, or a word that isn't known here.
                self.lose("WAITING")
                say("waiting", self, ahead=event.waiting.ahead)
            self.changed.notify_all()

    def keep_alive(self):
        """Sends KeepAlives. Their answers tell all that the stream tells, and they alone move the
        deadline."""
        with self.changed:
            self.changed.wait_for(lambda: self.ticket or self.over)
        while not self.over:
            request = pb.KeepAliveRequest(items=[pb.KeepAliveItem(ticket=self.ticket)])
            (at, stub), sent, heard = self.service.current, now(), False
            try:
                answer, call = stub.KeepAlive.with_call(request, timeout=self.ttl / 6)
                if answer is None:
                    raise call  # Somebody else's OK, with nothing in it.
                heard = self.service.admits(self, answer.tenure, at)
                for result in answer.results if heard else ():
                    self.kept(result, sent)
            except grpc.RpcError as error:
                if self.service.failed(self, at, error):
                    self.stream.cancel()  # It may be on the same connection, which may be silent.
            if heard or self.service.is_below(self):
                time.sleep(max(0.0, sent + self.ttl / 3 - now()))
            else:
                time.sleep(min(self.ttl / 20, 1))  # There is time for another one.

    def kept(self, result, sent):
        with self.changed:
            if not self.is_news(result.version):
                return
            self.check()  # A late answer doesn't hide that the deadline has passed.
            if result.ticket:
                self.keep(result.ticket)
            if result.state in (pb.CANDIDACY_STATE_WAITING, pb.CANDIDACY_STATE_LEADING):
                self.deadline = max(self.deadline, sent + result.ttl.ToMilliseconds() / 1000)
            if result.state == pb.CANDIDACY_STATE_LEADING:
                self.lead(result.fencing_token)
            elif result.state == pb.CANDIDACY_STATE_DRAINING:
                self.end("DRAINING")
            elif result.state == pb.CANDIDACY_STATE_ENDED:
                self.end(name(result.end_reason))
            elif result.state == pb.CANDIDACY_STATE_REFUSED:
                self.end("REFUSED")
            else:  # Waiting, or a word that isn't known here.
                self.lose("WAITING")
            self.changed.notify_all()

    def resign(self):
        """Leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used
        again."""
        self.end("RESIGNED")
        give_up = now() + 5  # Then it runs out by itself.
        while not (told := self.service.resign(self.ticket)) and now() < give_up:
            time.sleep(0.2)
        if told:
            say("resigned", self)
