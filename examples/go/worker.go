// Command worker does its task only while it leads an election, with nothing but grpc-go.
//
// Its own deadline is (moment before the last accepted KeepAlive was sent) + ttl. Past it, it isn't leader in its own
// eyes, whatever arrives later; and each write goes out with the fencing token, so that the resource can refuse a former
// leader.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "leasehold.example/worker/leasehold/v1"
)

// Why a candidacy ended, and the two ends after which the server still has to be told.
type ended string

func (e ended) Error() string { return string(e) }

const pastDeadline, draining = ended("DEADLINE"), ended("DRAINING")

// refused is an end that trying again doesn't change: the server won't have this request.
type refused struct{ detail string }

func (r refused) Error() string { return r.detail }

// now is a clock that goes on while the machine is suspended; the one in time.Time stands still then.
func now() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
		log.Fatalf("no clock to keep deadlines with: %v", err)
	}
	return time.Duration(at.Nano())
}

// facts is where JSON goes, with the names that the server's log has; nil where somebody reads along.
var facts = func() *slog.Logger {
	out, err := os.Stdout.Stat()
	isTerminal := err == nil && out.Mode()&os.ModeCharDevice != 0
	if format := os.Getenv("LEASEHOLD_LOG_FORMAT"); format != "json" && (format != "" || isTerminal) {
		return nil
	}
	names := map[string]string{slog.TimeKey: "timestamp", slog.MessageKey: "message"}
	rename := func(_ []string, attribute slog.Attr) slog.Attr {
		attribute.Key = cmp.Or(names[attribute.Key], attribute.Key)
		return attribute
	}
	return slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: rename}))
}()

// service is the replicas: the next address, over a new connection, when the one in use is gone, and the highest tenure seen.
type service struct {
	addresses []string

	mu         sync.Mutex
	at         int
	connection *grpc.ClientConn
	tenure     uint64
}

func connect(endpoints string) *service {
	s := &service{}
	for endpoint := range strings.SplitSeq(endpoints, ",") {
		s.addresses = append(s.addresses, strings.TrimPrefix(strings.TrimSpace(endpoint), "http://"))
	}
	s.connectLocked()
	return s
}

func (s *service) connectLocked() {
	// Notice a dead connection within 15 s, give up a new one after 2 s, and try again at least every second.
	retry := grpc.ConnectParams{MinConnectTimeout: 2 * time.Second, Backoff: backoff.Config{
		BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
	connection, err := grpc.NewClient(s.addresses[s.at%len(s.addresses)],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithConnectParams(retry),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))
	if err != nil {
		log.Fatal(err)
	}
	s.connection = connection
}

func (s *service) current() (pb.ElectionServiceClient, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.NewElectionServiceClient(s.connection), s.at
}

// failed goes on if the replica is gone, unless somebody did since `at`. What is open there breaks, and is opened again.
func (s *service) failed(err error, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if code := status.Code(err); at == s.at && (code == codes.Unavailable || code == codes.DeadlineExceeded) {
		_ = s.connection.Close()
		s.at++
		s.connectLocked()
	}
}

// admit refuses the word of a replica that was replaced since.
func (s *service) admit(tenure uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tenure = max(s.tenure, tenure); tenure < s.tenure {
		return status.Error(codes.Unavailable, "from a replica that was replaced")
	}
	return nil
}

// latest is the highest tenure seen.
func (s *service) latest() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenure
}

// candidacy is one candidacy from Campaign to its end. Once ctx is done, its cause says why it ended: it leads no more.
type candidacy struct {
	ctx     context.Context
	finish  context.CancelCauseFunc
	service *service
	request *pb.CampaignRequest
	ttl     time.Duration

	mu       sync.Mutex
	ticket   []byte
	token    uint64
	deadline time.Duration
	elected  chan struct{} // Closed with the fencing token.
}

func campaign(service *service, request *pb.CampaignRequest) *candidacy {
	c := &candidacy{service: service, request: request, ttl: request.Ttl.AsDuration(), elected: make(chan struct{})}
	c.ctx, c.finish = context.WithCancelCause(context.Background())
	go c.follow()
	return c
}

// check returns the fencing token if this candidacy leads at this moment, else 0. Call it before each step of the task.
func (c *candidacy) check() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkLocked()
}

func (c *candidacy) checkLocked() uint64 {
	if c.token != 0 && now() >= c.deadline {
		c.finish(pastDeadline)
	}
	if c.ctx.Err() != nil {
		return 0
	}
	return c.token
}

func (c *candidacy) say(fact string, fields ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sayLocked(fact, fields...)
}

// sayLocked tells a fact, a line: fields are names and values. A terminal shows only what isn't known there.
func (c *candidacy) sayLocked(fact string, fields ...any) {
	if facts == nil {
		for i := 0; i < len(fields); i += 2 {
			fact += fmt.Sprintf(" %v=%v", fields[i], fields[i+1])
		}
		fmt.Println(fact)
		return
	}
	whose := []any{"election", c.request.Election, "candidate", c.request.Candidate, "tenure", c.service.latest()}
	if c.token != 0 && !slices.Contains(fields, any("token")) {
		whose = append(whose, "token", c.token)
	}
	facts.Info(fact, append(whose, fields...)...)
}

func (c *candidacy) latest() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticket
}

// follow reads the Campaign stream; it opens it again with the ticket when it breaks, which extends nothing.
func (c *candidacy) follow() {
	for c.ctx.Err() == nil {
		sent, request := now(), c.request
		if ticket := c.latest(); ticket != nil {
			request = &pb.CampaignRequest{Ticket: ticket}
		}
		client, at := c.service.current()
		stream, err := client.Campaign(c.ctx, request)
		for err == nil {
			var event *pb.CampaignResponse
			if event, err = stream.Recv(); err == nil {
				err = c.service.admit(event.Tenure)
			}
			if err == nil {
				c.take(event, sent)
			}
		}
		c.service.failed(err, at)
		switch status.Code(err) {
		case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated:
			c.finish(refused{status.Convert(err).Message()})
		}
		sleep(c.ctx, 200*time.Millisecond)
	}
}

func (c *candidacy) take(response *pb.CampaignResponse, sent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch event := response.Event.(type) {
	case *pb.CampaignResponse_Enrolled:
		if c.ticket == nil {
			c.deadline = sent + c.ttl // Sending Campaign counts as the first KeepAlive.
			go c.keepAlive()
		}
		c.keepLocked(event.Enrolled.Ticket, 0)
	case *pb.CampaignResponse_Waiting:
		c.sayLocked("waiting", "ahead", event.Waiting.Ahead)
	case *pb.CampaignResponse_Elected:
		c.keepLocked(event.Elected.Ticket, event.Elected.FencingToken)
	case *pb.CampaignResponse_Draining:
		c.finish(draining)
	case *pb.CampaignResponse_Ended:
		c.finish(name(event.Ended.Reason))
	}
}

// keepLocked keeps a newer ticket. A leader's is only replaced by a leader's: an older answer may come after Elected.
func (c *candidacy) keepLocked(ticket []byte, token uint64) {
	if token == 0 && c.token != 0 {
		return
	}
	if token != 0 && c.token == 0 {
		close(c.elected)
	}
	c.ticket, c.token = ticket, token
}

func (c *candidacy) keepAlive() {
	for c.ctx.Err() == nil {
		sent := now()
		ctx, cancel := context.WithTimeout(c.ctx, c.ttl/4)
		client, at := c.service.current()
		item := &pb.KeepAliveItem{Ticket: c.latest()}
		answer, err := client.KeepAlive(ctx, &pb.KeepAliveRequest{Items: []*pb.KeepAliveItem{item}})
		cancel()
		if err == nil {
			err = c.service.admit(answer.Tenure)
		}
		c.service.failed(err, at)
		if err != nil || len(answer.Results) != 1 {
			sleep(c.ctx, c.ttl/20) // A call that failed extends nothing; there is time for another.
			continue
		}
		c.kept(answer.Results[0], sent)
		sleep(c.ctx, sent+c.ttl/3-now())
	}
}

func (c *candidacy) kept(result *pb.KeepAliveResult, sent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checkLocked() // A deadline that has passed isn't brought back by a late answer.
	if c.ctx.Err() != nil {
		return
	}
	switch result.State {
	case pb.CandidacyState_CANDIDACY_STATE_WAITING, pb.CandidacyState_CANDIDACY_STATE_LEADING:
		c.deadline = max(c.deadline, sent+c.ttl)
		c.keepLocked(result.Ticket, result.FencingToken)
	case pb.CandidacyState_CANDIDACY_STATE_DRAINING:
		c.finish(draining)
	case pb.CandidacyState_CANDIDACY_STATE_ENDED:
		c.finish(name(result.EndReason))
	default:
		c.finish(ended("REFUSED"))
	}
}

// resign leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used again.
func (c *candidacy) resign() {
	c.finish(ended("RESIGNED"))
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// If this fails, it runs out by itself, within its ttl.
	client, _ := c.service.current()
	_, _ = client.Resign(ctx, &pb.ResignRequest{Ticket: c.latest()})
	c.say("resigned")
}

// lead waits until it leads, then works until it is lost or told to stop. It returns why the server won't have it, if so.
func (c *candidacy) lead(stop context.Context, step time.Duration) error {
	select {
	case <-c.elected:
	case <-c.ctx.Done():
	case <-stop.Done():
	}
	if token := c.check(); token != 0 {
		c.say("elected", "token", token)
	}
	for token := c.check(); token != 0 && stop.Err() == nil; token = c.check() {
		c.say("task step", "token", token) // The work: write to the resource, with the token in each write.
		select {
		case <-time.After(step):
		case <-c.ctx.Done():
		case <-stop.Done():
		}
	}
	why := context.Cause(c.ctx)
	final := refused{}
	isFinal := errors.As(why, &final)
	if isFinal {
		c.say("lost", "reason", "REFUSED", "detail", final.detail)
	} else if why != nil {
		c.say("lost", "reason", why.Error())
	}
	if c.latest() != nil && (why == nil || why == pastDeadline || why == draining) {
		c.resign()
	}
	c.finish(ended("STOPPED")) // Nothing, if it has ended; else there was no ticket yet, and the goroutines end here.
	if isFinal {
		return final
	}
	return nil
}

func name(reason pb.EndReason) ended {
	return ended(strings.TrimPrefix(reason.String(), "END_REASON_"))
}

func sleep(ctx context.Context, length time.Duration) {
	select {
	case <-time.After(length):
	case <-ctx.Done():
	}
}

func main() {
	host, _ := os.Hostname()
	candidate := flag.String("name", fmt.Sprintf("%s-%d", host, os.Getpid()), "label of this candidate")
	endpoint := flag.String("endpoint", cmp.Or(os.Getenv("LEASEHOLD_ENDPOINT"), "127.0.0.1:7400"), "the service; of several addresses, with commas between them, one is used at a time")
	ttl := flag.Float64("ttl", 15, "seconds that the lead outlives this process")
	step := flag.Float64("step", 1, "seconds between two steps of the task")
	replace := flag.Bool("replace-former", false, "the former process of this name is dead for sure")
	// The election may stand before the flags or after them.
	args, election := os.Args[1:], ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		election, args = args[0], args[1:]
	}
	if _ = flag.CommandLine.Parse(args); election == "" {
		election = flag.Arg(0)
	}
	if election == "" {
		log.Fatal("usage: worker ELECTION [flags], e.g. worker billing/nightly-report --ttl 15; --help shows the flags")
	}
	service := connect(*endpoint)
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	former := *replace // Said once; later candidacies of its own end by themselves.
	for stop.Err() == nil {
		request := &pb.CampaignRequest{
			Election: election, Candidate: *candidate, ReplaceFormer: former,
			Ttl: durationpb.New(time.Duration(*ttl*1000) * time.Millisecond),
		}
		if err := campaign(service, request).lead(stop, seconds(*step)); err != nil {
			os.Exit(1)
		}
		former = false
	}
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }
