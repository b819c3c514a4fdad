package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	pb "leasehold.example/worker/leasehold/v1"
)

// gone are the codes with which the service says that another replica may do better.
var gone = []codes.Code{codes.Unavailable, codes.DeadlineExceeded}

// temporary are the codes with which it says that the same call may succeed later.
var temporary = append([]codes.Code{codes.ResourceExhausted, codes.Aborted}, gone...)

// ours says whether the service itself says so, and not a proxy, another program or the library.
func ours(err error) bool {
	return slices.ContainsFunc(status.Convert(err).Details(), func(detail any) bool {
		info, ok := detail.(*errdetails.ErrorInfo)
		return ok && info.Domain == "leasehold"
	})
}

// service is the replicas: the next one, over a new connection, when the one in use is gone. And
// what is known of them all.
type service struct {
	endpoints []string

	mu         sync.Mutex
	at         int
	connection *grpc.ClientConn
	trouble    string
	tenure     uint64
	belowSince time.Duration // When answers began to come from lower tenures only; 0 if they don't.
	lastTicket []byte
}

func connect(endpoints string) *service {
	s := &service{}
	for endpoint := range strings.SplitSeq(endpoints, ",") {
		s.endpoints = append(s.endpoints, strings.TrimSuffix(strings.TrimSpace(endpoint), "/"))
	}
	s.connectLocked()
	return s
}

func (s *service) connectLocked() {
	endpoint := s.endpoints[s.at%len(s.endpoints)]
	address, isSealed := strings.CutPrefix(endpoint, "https://")
	options := []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if isSealed {
		options = sealed()
	}
	connection, err := grpc.NewClient(strings.TrimPrefix(address, "http://"), append(options,
		// A connection can go silent without ever breaking: ping it, and give it up when nothing
		// comes back.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}),
		// By default a connection is waited for 20 s, and the next one is tried up to 2 minutes
		// later.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second, Backoff: backoff.Config{
			BaseDelay: 200 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}),
		// HTTPS_PROXY and its like are meant for other traffic. Without this line they are used.
		grpc.WithNoProxy())...)
	if err != nil {
		log.Fatal(err)
	}
	s.connection = connection
}

// sealed is whom to trust, and what to show: files that the environment names, and that may be
// replaced at any time. They are read anew for each connection, the token for each call.
func sealed() []grpc.DialOption {
	config := &tls.Config{}
	if file := os.Getenv("LEASEHOLD_CA"); file != "" {
		pem, err := os.ReadFile(file)
		if err != nil {
			log.Fatal(err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			log.Fatalf("%s has no certificate", file)
		}
	}
	if cert, key := os.Getenv("LEASEHOLD_CERT"), os.Getenv("LEASEHOLD_KEY"); cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			log.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(credentials.NewTLS(config))}
	if file := os.Getenv("LEASEHOLD_TOKEN_FILE"); file != "" {
		options = append(options, grpc.WithPerRPCCredentials(tokenFile(file)))
	}
	return options
}

// tokenFile is a file with a token.
type tokenFile string

func (file tokenFile) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := os.ReadFile(string(file))
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + strings.TrimSpace(string(token))}, nil
}

func (tokenFile) RequireTransportSecurity() bool { return true }

func (s *service) current() (pb.ElectionServiceClient, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return pb.NewElectionServiceClient(s.connection), s.at
}

// leave goes on, unless somebody did since `at`. What is open on the old connection breaks, and is
// opened again.
func (s *service) leave(at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at == s.at {
		_ = s.connection.Close()
		s.at++
		s.connectLocked()
	}
}

// tell says once what is wrong, until the service is heard again.
func (s *service) tell(c *candidacy, trouble, why string) {
	s.mu.Lock()
	known := s.trouble
	if known != "below" {
		s.trouble = trouble
	}
	isNews := s.trouble != known
	s.mu.Unlock()
	if isNews {
		c.say(slog.LevelWarn, trouble, "why", why)
	}
}

// failed takes note of a call that failed: that extends nothing, and ends nothing.
func (s *service) failed(c *candidacy, at int, err error) {
	code := status.Code(err)
	words := strings.Fields(status.Convert(err).Message()) // A stranger's may have several lines.
	trouble, why := "refused", fmt.Sprintf("%v: %s", code, strings.Join(words, " "))
	if code == codes.Canceled {
		why = "no answer"
	}
	if slices.Contains(gone, code) || !ours(err) {
		trouble = "unreachable"
		s.leave(at)
	}
	s.tell(c, trouble, why)
}

// admits says whether this isn't the word of a replica that was replaced since.
func (s *service) admits(c *candidacy, tenure uint64, at int) bool {
	s.mu.Lock()
	admitted, trouble := tenure >= s.tenure, s.trouble
	if admitted {
		s.tenure, s.belowSince, s.trouble = tenure, 0, ""
	} else if s.belowSince == 0 {
		s.belowSince = now()
	}
	s.mu.Unlock()
	if !admitted {
		s.leave(at)
	} else if trouble != "" {
		c.say(slog.LevelInfo, "reachable")
	}
	return admitted
}

// isBelow says whether nothing was admitted for longer than a ttl: the service was restored, and
// knows nothing of this tenure.
func (s *service) isBelow(c *candidacy) bool {
	s.mu.Lock()
	since, tenure := s.belowSince, s.tenure
	s.mu.Unlock()
	if since == 0 || now()-since < c.ttl {
		return false
	}
	s.tell(c, "below", fmt.Sprintf("it answers with lower numbers than %d: was the service restored?", tenure))
	return true
}

func (s *service) last() (tenure uint64, ticket []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tenure, s.lastTicket
}

// resign says whether the service was told that this candidacy is over.
func (s *service) resign(ticket []byte) bool {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	client, at := s.current()
	_, err := client.Resign(ctx, &pb.ResignRequest{Ticket: ticket})
	if err != nil {
		s.leave(at)
	}
	return err == nil
}
