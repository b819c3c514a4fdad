package inside

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"time"

	"leasehold.example/cluster/layout"
)

const (
	// The pause between two questions.
	probeInterval = 200 * time.Millisecond
	// How long one question may take.
	probeTimeout = 5 * time.Second
)

// waitUntilReady waits until a pod that is made now would run, and could find services by their
// names.
func (c *cluster) waitUntilReady(ctx context.Context) error {
	for _, ready := range []func(context.Context) error{c.nodesReady, c.accountThere, dnsReady} {
		for {
			err := probe(ctx, ready)
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%w; the last answer: %w", context.Cause(ctx), err)
			case <-time.After(probeInterval):
			}
		}
	}
	return nil
}

func probe(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return ready(ctx)
}

func (c *cluster) nodesReady(ctx context.Context) error {
	const path = `{range .items[*]}{.metadata.name}={.status.conditions[?(@.type=="Ready")].status} {end}`
	states, err := c.kubectl(ctx, "get", "nodes", "--output=jsonpath="+path)
	if err != nil {
		return err
	}
	for _, node := range layout.Nodes() {
		if !strings.Contains(states, node.Name+"=True ") {
			return fmt.Errorf("node %s isn't Ready: %s", node.Name, states)
		}
	}
	return nil
}

// Without this account, which a controller makes, no pod can be made in the namespace.
func (c *cluster) accountThere(ctx context.Context) error {
	_, err := c.kubectl(ctx, "get", "serviceaccount", "default")
	return err
}

func (c *cluster) kubectl(ctx context.Context, args ...string) (string, error) {
	program, err := layout.Program("kubectl")
	if err != nil {
		return "", err
	}
	command := exec.CommandContext(ctx, program, append(args, "--kubeconfig="+c.folder.Kubeconfig())...)
	output, err := command.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, output)
	}
	return string(output), nil
}

func dnsReady(ctx context.Context) error {
	server := net.JoinHostPort(layout.ControlAddress, "53")
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, network, server)
	}}
	addresses, err := resolver.LookupHost(ctx, "kubernetes.default.svc.cluster.local.")
	if err != nil {
		return err
	}
	if len(addresses) != 1 || addresses[0] != layout.APIServerService {
		return errors.New("CoreDNS takes the API server's service for " + strings.Join(addresses, " "))
	}
	return nil
}
