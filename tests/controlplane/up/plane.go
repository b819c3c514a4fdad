package up

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// plane is etcd and kube-apiserver on one address, with one folder.
type plane struct {
	files   *files
	etcd    *child
	api     *child
	probing *prober
}

// openPlane makes or reads the folder; it starts nothing.
func openPlane(dir, address string) (*plane, error) {
	files, err := openFiles(dir, address)
	if err != nil {
		return nil, err
	}
	probing, err := newProber(files)
	if err != nil {
		return nil, err
	}
	return &plane{
		files:   files,
		etcd:    newChild(Etcd, files, etcdFlags(files), etcdPort, etcdPeerPort),
		api:     newChild(APIServer, files, apiServerFlags(files), apiServerPort),
		probing: probing,
	}, nil
}

// children are both, in the order in which they start.
func (p *plane) children() []*child {
	return []*child{p.etcd, p.api}
}

// obey does what one line of stdin says.
func (p *plane) obey(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if len(words) == 0 {
		return errors.New("an empty line is no command")
	}
	chosen, err := p.choose(words[1:])
	if err != nil {
		return err
	}
	switch words[0] {
	case "freeze":
		return each(chosen, (*child).freeze)
	case "thaw":
		return each(chosen, (*child).thaw)
	case "stop":
		return p.stop(chosen)
	case "start":
		return p.start(ctx, chosen)
	default:
		return fmt.Errorf("there is no command %q: it is freeze, thaw, stop or start", words[0])
	}
}

func (p *plane) choose(names []string) ([]*child, error) {
	for _, name := range names {
		if name != Etcd && name != APIServer {
			return nil, fmt.Errorf("there is no process %q: it is %s or %s", name, Etcd, APIServer)
		}
	}
	isOther := func(c *child) bool { return len(names) > 0 && !slices.Contains(names, c.name) }
	return slices.DeleteFunc(p.children(), isOther), nil
}

func (p *plane) stop(chosen []*child) error {
	return each(chosen, (*child).kill)
}

// start starts those of the chosen that don't run, and waits until they serve.
func (p *plane) start(ctx context.Context, chosen []*child) error {
	for _, c := range chosen {
		if c.running() {
			continue
		}
		if err := c.start(ctx, p.files.address); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if c == p.etcd {
			if err := p.probing.waitForEtcd(ctx, c); err != nil {
				return err
			}
		}
	}
	// Without etcd the API server never gets ready.
	if p.api.running() && p.etcd.running() {
		return p.probing.waitForAPI(ctx, p.api)
	}
	return nil
}

func each(chosen []*child, do func(*child) error) error {
	for _, c := range chosen {
		if err := do(c); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}
