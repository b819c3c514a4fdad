package up

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	// How long a process may take from its start until it serves.
	readyTimeout = 60 * time.Second
	// How long one question may take.
	probeTimeout = 2 * time.Second
	// The pause between two questions.
	probeInterval = 50 * time.Millisecond
	// How many lines of a log an error shows.
	shownLogLines = 15
)

// prober asks whether the processes serve.
type prober struct {
	client *http.Client
	files  *files
	token  string
}

func newProber(f *files) (*prober, error) {
	authority, err := os.ReadFile(f.path(authorityCertificate))
	if err != nil {
		return nil, err
	}
	token, err := f.adminToken()
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		// A connection from before a stop would fail the first question after it.
		DisableKeepAlives: true,
	}
	return &prober{client: &http.Client{Transport: transport, Timeout: probeTimeout}, files: f, token: token}, nil
}

func (p *prober) waitForEtcd(ctx context.Context, etcd *child) error {
	return p.wait(ctx, etcd, "http://"+hostPort(p.files.address, etcdPort)+"/readyz")
}

// waitForAPI waits until the API server is ready, has its default roles and has made the namespaces
// that tests use.
func (p *prober) waitForAPI(ctx context.Context, api *child) error {
	server := p.files.server()
	return p.wait(ctx, api, server+"/readyz", server+"/api/v1/namespaces/default", server+"/api/v1/namespaces/kube-system")
}

// wait asks until all addresses answer with 200.
func (p *prober) wait(ctx context.Context, c *child, urls ...string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %v", readyTimeout))
	defer cancel()
	for _, url := range urls {
		for {
			err := p.probe(ctx, url)
			if err == nil {
				break
			}
			if !c.running() {
				return fmt.Errorf("%s ended before it was ready; its log ends with\n%s", c.name, logEnd(c.logPath))
			}
			if why := pause(ctx, probeInterval); why != nil {
				return fmt.Errorf("%s: %w; the last answer: %w; its log ends with\n%s", c.name, why, err, logEnd(c.logPath))
			}
		}
	}
	return nil
}

func (p *prober) probe(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 4096))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status + ": " + string(body))
	}
	return err
}

func logEnd(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-shownLogLines):], "\n")
}
