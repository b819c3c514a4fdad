package inside

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"leasehold.example/cluster/layout"
	"leasehold.example/cluster/part"
)

const (
	// How long it may take until everything runs. On two busy processors it is half a minute.
	startTimeout = 5 * time.Minute
	// How long one line of stdin may take.
	commandTimeout = 3 * time.Minute
)

// cluster is all that the supervisor has started.
type cluster struct {
	folder layout.Folder
	// A message for each part that has ended.
	failures chan error
	plane    *part.Dialogue
	nodes    map[string]*part.Dialogue
}

// Supervise starts all parts, and obeys stdin until it is closed or a part ends.
func Supervise(args []string) error {
	if err := layout.MustBeInside(layout.SuperviseCommand); err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("which folder?")
	}
	c := &cluster{
		folder:   layout.Folder(args[0]),
		failures: make(chan error, 16),
		nodes:    make(map[string]*part.Dialogue),
	}
	ctx, end := context.WithCancelCause(context.Background())
	go func() { end(<-c.failures) }()
	start, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it doesn't run after %v", startTimeout))
	defer cancel()
	if err := c.start(start, args[1:]); err != nil {
		return err
	}
	fmt.Println(c.folder.Path("kubeconfig"))
	lines := make(chan string)
	go func() {
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			lines <- scanner.Text()
		}
		close(lines)
	}()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case line, open := <-lines:
			if !open {
				return nil
			}
			ctx, cancel := context.WithTimeout(ctx, commandTimeout)
			fmt.Println(part.Answer(c.obey(ctx, line)))
			cancel()
		}
	}
}

// obey does what one line of stdin says.
func (c *cluster) obey(ctx context.Context, line string) error {
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "load":
		return c.eachNode(ctx, "load "+rest)
	case "freeze", "thaw", "stop", "start":
		return c.plane.Ask(ctx, line)
	default:
		return fmt.Errorf("there is no command %q: it is load, freeze, thaw, stop or start", word)
	}
}

// start brings up the control plane and both nodes at the same time, and what needs the API server
// afterwards.
func (c *cluster) start(ctx context.Context, images []string) error {
	started := time.Now()
	say := func(what string) {
		fmt.Fprintf(os.Stderr, "cluster: %.1f s: %s\n", time.Since(started).Seconds(), what)
	}
	if err := errors.Join(nameNamespace(layout.Control, os.Getpid()), makeControlNetwork()); err != nil {
		return err
	}
	for _, node := range layout.Nodes() {
		if err := c.startNode(node); err != nil {
			return fmt.Errorf("node %s: %w", node.Name, err)
		}
	}
	if err := routeServices(); err != nil {
		return err
	}
	if err := c.startPlane(); err != nil {
		return err
	}
	prepared := make(chan error, 1)
	go func() { prepared <- c.prepareNodes(ctx, images) }()
	if _, err := c.plane.Line(ctx); err != nil {
		return err
	}
	say("the API server is ready")
	if err := c.startControllers(); err != nil {
		return err
	}
	if err := <-prepared; err != nil {
		return err
	}
	say("containerd and the images are ready")
	if err := c.eachNode(ctx, "start"); err != nil {
		return err
	}
	if err := c.waitUntilReady(ctx); err != nil {
		return err
	}
	say("the nodes are Ready and CoreDNS answers")
	return nil
}

// prepareNodes waits for each containerd, and loads the images.
func (c *cluster) prepareNodes(ctx context.Context, images []string) error {
	pause, err := layout.Program("pause.tar")
	if err != nil {
		return err
	}
	for _, image := range append([]string{pause}, images...) {
		if err := c.eachNode(ctx, "load "+image); err != nil {
			return err
		}
	}
	return nil
}

// eachNode asks all nodes at the same time.
func (c *cluster) eachNode(ctx context.Context, line string) error {
	errs := make(chan error)
	for _, node := range c.nodes {
		go func() { errs <- node.Ask(ctx, line) }()
	}
	var all []error
	for range c.nodes {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
