package main

import (
	"context"
	"crypto/rand"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "leasehold.example/worker/leasehold/v1"
)

// now is a clock that goes on while the machine is suspended; the one in time.Time stands still
// then.
func now() time.Duration {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &at); err != nil {
		log.Fatalf("no clock to keep deadlines with: %v", err)
	}
	return time.Duration(at.Nano())
}

// ended says why a candidacy is over. After a resignation or a drain the server has to be told;
// after other ends it knows. fatal is one that trying again doesn't change.
type ended string

func (e ended) Error() string { return string(e) }

const resigned, draining, fatal = ended("RESIGNED"), ended("DRAINING"), ended("FATAL")

// candidacy is one candidacy from Campaign to its end. It may lead more than once. When ctx is done
// it never does again, and the cause of ctx says why.
type candidacy struct {
	ctx     context.Context
	finish  context.CancelCauseFunc
	service *service
	request *pb.CampaignRequest
	ttl     time.Duration
	changed chan struct{} // Has something in it when it began or ceased to lead.

	mu       sync.Mutex
	ticket   []byte
	version  uint64
	leads    bool
	token    uint64
	deadline time.Duration
}

func campaign(service *service, request *pb.CampaignRequest) *candidacy {
	c := &candidacy{service: service, request: request, ttl: request.Ttl.AsDuration(), changed: make(chan struct{}, 1)}
	c.ctx, c.finish = context.WithCancelCause(context.Background())
	// If the answer to Campaign is lost, the next one finds what it entered.
	request.Attempt = rand.Text()
	go c.follow()
	return c
}

// check returns the fencing token if this candidacy leads at this moment, else 0. Call it before
// each step of the task.
func (c *candidacy) check() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkLocked()
}

func (c *candidacy) checkLocked() uint64 {
	if now() >= c.deadline {
		c.loseLocked("DEADLINE")
	}
	if !c.leads {
		return 0
	}
	return c.token
}

func (c *candidacy) leadLocked(token uint64) {
	if c.checkLocked() == token {
		return
	}
	c.loseLocked("OVERTAKEN")
	if now() < c.deadline { // Else the next KeepAlive tells whether it does.
		c.leads, c.token = true, token
		c.sayLocked(slog.LevelInfo, "elected", "token", token)
		c.notify()
	}
}

// loseLocked: it doesn't lead, from now on. Said before anybody can find out, and say what follows
// from it.
func (c *candidacy) loseLocked(reason string) {
	if c.leads {
		c.sayLocked(slog.LevelInfo, "lost", "reason", reason)
		c.notify()
	}
	c.leads = false
}

func (c *candidacy) notify() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// endLocked: it is over, for good. The first reason stays.
func (c *candidacy) endLocked(why ended) {
	if c.ctx.Err() == nil && why != resigned {
		fact := "ended"
		if c.leads {
			fact = "lost"
		}
		c.sayLocked(slog.LevelInfo, fact, "reason", string(why))
	}
	c.leads = false
	c.finish(why)
}

func (c *candidacy) end(why ended) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endLocked(why)
}

func (c *candidacy) latest() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ticket
}

// isNewsLocked says whether nothing newer was heard: words can overtake each other. An end has no
// version, and is final.
func (c *candidacy) isNewsLocked(version uint64) bool {
	c.version = max(c.version, version)
	return c.ctx.Err() == nil && (version == 0 || version == c.version)
}

func (c *candidacy) keepLocked(ticket []byte) {
	if len(ticket) > 0 {
		c.service.mu.Lock()
		defer c.service.mu.Unlock()
		c.ticket, c.service.lastTicket = ticket, ticket
	}
}

// follow reads the Campaign stream. When it breaks, with any status, it opens it again, which
// extends nothing.
func (c *candidacy) follow() {
	for delay := 100 * time.Millisecond; c.ctx.Err() == nil; delay = min(2*delay, time.Second) {
		if c.service.isBelow(c) {
			sleep(c.ctx, c.ttl)
			if c.latest() != nil {
				// The KeepAlives show it to the service, which then begins above its numbers.
				continue
			}
			if _, ticket := c.service.last(); ticket != nil {
				c.service.resign(ticket) // So does this; the candidacy is over since long.
			}
		}
		heard, err := c.read()
		switch ticket, code := c.latest(), status.Code(err); {
		case ticket != nil && code == codes.Aborted && ours(err):
			// Somebody else has opened it, and would lose it again. The KeepAlives tell all that it
			// would.
			return
		case ticket == nil && !slices.Contains(temporary, code) && ours(err):
			c.end(fatal)
		case heard:
			delay = 50 * time.Millisecond
		}
		sleep(c.ctx, delay)
	}
}

// read opens the stream and reads it until it breaks. It says whether anything was heard, and how
// it broke.
func (c *candidacy) read() (heard bool, err error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	request := c.request
	ticket := c.latest()
	if ticket != nil {
		request = &pb.CampaignRequest{Ticket: ticket}
	}
	client, at := c.service.current()
	sent := now()
	silence := time.AfterFunc(max(time.Second, c.ttl/6), cancel) // The first word comes at once.
	defer silence.Stop()
	stream, err := client.Campaign(ctx, request)
	for err == nil {
		var event *pb.CampaignResponse
		if event, err = stream.Recv(); err != nil {
			break
		}
		silence.Stop()
		if !c.service.admits(c, event.Tenure, at) {
			if given := event.GetEnrolled().GetTicket(); ticket == nil && given != nil {
				c.service.resign(given) // Nobody would listen to what was entered there.
			}
			return heard, nil
		}
		heard = true
		c.take(event, sent)
	}
	if !heard && c.ctx.Err() == nil {
		c.service.failed(c, at, err)
	}
	return heard, err
}

func (c *candidacy) take(response *pb.CampaignResponse, sent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isNewsLocked(response.Version) {
		return
	}
	switch event := response.Event.(type) {
	case *pb.CampaignResponse_Enrolled:
		if c.ticket == nil {
			c.deadline = sent + c.ttl // Sending Campaign counts as the first KeepAlive.
			go c.keepAlive()
		}
		c.keepLocked(event.Enrolled.Ticket)
	case *pb.CampaignResponse_Elected:
		c.keepLocked(event.Elected.Ticket)
		c.leadLocked(event.Elected.FencingToken)
	case *pb.CampaignResponse_Draining:
		// It may finish first, until its deadline. This task can stop at once.
		c.endLocked(draining)
	case *pb.CampaignResponse_Ended:
		c.endLocked(name(event.Ended.Reason))
	case *pb.CampaignResponse_Heartbeat:
	default: // Waiting, or a word that isn't known here.
		c.loseLocked("WAITING")
		c.sayLocked(slog.LevelInfo, "waiting", "ahead", response.GetWaiting().GetAhead())
	}
}

// keepAlive sends KeepAlives. Their answers tell all that the stream tells, and they alone move the
// deadline.
func (c *candidacy) keepAlive() {
	for c.ctx.Err() == nil {
		sent := now()
		ctx, cancel := context.WithTimeout(c.ctx, c.ttl/6)
		client, at := c.service.current()
		item := &pb.KeepAliveItem{Ticket: c.latest()}
		answer, err := client.KeepAlive(ctx, &pb.KeepAliveRequest{Items: []*pb.KeepAliveItem{item}})
		cancel()
		heard := err == nil && c.service.admits(c, answer.Tenure, at)
		if heard {
			for _, result := range answer.Results {
				c.kept(result, sent)
			}
		} else if err != nil && c.ctx.Err() == nil {
			c.service.failed(c, at, err)
		}
		if heard || c.service.isBelow(c) {
			sleep(c.ctx, sent+c.ttl/3-now())
		} else {
			sleep(c.ctx, min(c.ttl/20, time.Second)) // There is time for another one.
		}
	}
}

func (c *candidacy) kept(result *pb.KeepAliveResult, sent time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isNewsLocked(result.Version) {
		return
	}
	c.checkLocked() // A late answer doesn't hide that the deadline has passed.
	c.keepLocked(result.Ticket)
	switch result.State {
	case pb.CandidacyState_CANDIDACY_STATE_LEADING:
		c.deadline = max(c.deadline, sent+result.Ttl.AsDuration())
		c.leadLocked(result.FencingToken)
	case pb.CandidacyState_CANDIDACY_STATE_WAITING:
		c.loseLocked("WAITING")
		c.deadline = max(c.deadline, sent+result.Ttl.AsDuration())
	case pb.CandidacyState_CANDIDACY_STATE_DRAINING:
		c.endLocked(draining)
	case pb.CandidacyState_CANDIDACY_STATE_ENDED:
		c.endLocked(name(result.EndReason))
	case pb.CandidacyState_CANDIDACY_STATE_REFUSED:
		c.endLocked(ended("REFUSED"))
	default: // A word that isn't known here.
		c.loseLocked("UNKNOWN")
	}
}

// resign leaves. From here on it doesn't lead, whatever the answer, and the ticket isn't used
// again.
func (c *candidacy) resign() {
	c.end(resigned)
	for giveUp := now() + 5*time.Second; now() < giveUp; time.Sleep(200 * time.Millisecond) {
		if c.service.resign(c.latest()) {
			c.say(slog.LevelInfo, "resigned")
			return
		}
	}
	// It runs out by itself.
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
