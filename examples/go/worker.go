// Command worker does its task only while it leads an election, with nothing but grpc-go.
//
// It does what the table at ElectionService in election.proto says. It leads while the last word of
// the service said so, and its own deadline lies ahead: (moment before the last accepted KeepAlive
// was sent) + ttl. Each write goes out with the fencing token, so that the resource can refuse a
// former leader.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "leasehold.example/worker/leasehold/v1"
)

// facts is where JSON goes, with the names that the server's log has; nil where somebody reads
// along.
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

func (c *candidacy) say(level slog.Level, fact string, fields ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sayLocked(level, fact, fields...)
}

// sayLocked tells a fact, a line: fields are names and values. A terminal shows only what isn't
// known there.
func (c *candidacy) sayLocked(level slog.Level, fact string, fields ...any) {
	if facts == nil {
		for i := 0; i < len(fields); i += 2 {
			fact += fmt.Sprintf(" %v=%v", fields[i], fields[i+1])
		}
		fmt.Println(fact)
		return
	}
	tenure, _ := c.service.last()
	whose := []any{"election", c.request.Election, "candidate", c.request.Candidate, "tenure", tenure}
	if c.token != 0 && !slices.Contains(fields, any("token")) {
		whose = append(whose, "token", c.token)
	}
	facts.Log(context.Background(), level, fact, append(whose, fields...)...)
}

// lead does the task step by step whenever the candidacy leads, until it is over or told to stop.
// It returns why it is over.
func (c *candidacy) lead(stop context.Context, step time.Duration) error {
	for c.ctx.Err() == nil && stop.Err() == nil {
		wait := time.Hour
		if token := c.check(); token != 0 {
			// The work: write to the resource, with the token in each write.
			c.say(slog.LevelInfo, "task step", "token", token)
			wait = step
		}
		select {
		case <-time.After(wait):
		case <-c.changed:
		case <-c.ctx.Done():
		case <-stop.Done():
		}
	}
	why := context.Cause(c.ctx)
	if c.latest() != nil && (why == nil || why == draining) {
		c.resign() // Before it enters again, or it would queue behind itself.
	}
	// Nothing, if it has ended; else there was no ticket yet, and the goroutines end here.
	c.finish(resigned)
	return why
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
		if campaign(service, request).lead(stop, seconds(*step)) == fatal {
			os.Exit(1)
		}
		former = false
	}
}

func seconds(number float64) time.Duration { return time.Duration(number * float64(time.Second)) }
