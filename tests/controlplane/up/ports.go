package up

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// Ports on the control plane's address. They lie below those that the system gives to outgoing
// connections: nobody gets them while the control plane is stopped.
const (
	etcdPort      = 2379
	etcdPeerPort  = 2380
	apiServerPort = 6443
)

// How long the ports of a process that was killed may stay taken.
const portTimeout = 10 * time.Second

// unusedLoopback finds an address on which all ports are free: a control plane of its own for each
// test at a time.
func unusedLoopback() (string, error) {
	var err error
	for range 100 {
		// Neither 127.0.x.y, which others use, nor an address that ends with 0 or 255.
		part := func() byte { return byte(1 + rand.IntN(254)) }
		address := net.IPv4(127, part(), part(), part()).String()
		if err = portsFree(address, etcdPort, etcdPeerPort, apiServerPort); err == nil {
			return address, nil
		}
	}
	return "", fmt.Errorf("no loopback address has its ports free: %w", err)
}

// portsFree says which port is taken.
func portsFree(address string, ports ...int) error {
	for _, port := range ports {
		listener, err := net.Listen("tcp", hostPort(address, port))
		if err != nil {
			return err
		}
		listener.Close()
	}
	return nil
}

// waitForPorts waits until a former process has let go of them.
func waitForPorts(ctx context.Context, address string, ports ...int) error {
	ctx, cancel := context.WithTimeout(ctx, portTimeout)
	defer cancel()
	for {
		err := portsFree(address, ports...)
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return err
		}
	}
}

func hostPort(address string, port int) string {
	return net.JoinHostPort(address, strconv.Itoa(port))
}

// pause waits for a while, or says why it didn't.
func pause(ctx context.Context, while time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(while):
		return nil
	}
}
