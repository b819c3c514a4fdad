// Package node is one node of the cluster: containerd, kubelet and kube-proxy in a mount namespace
// and a network namespace of their own. Each therefore uses the paths and ports that it uses on a
// real node, and sees no other's.
package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"leasehold.example/cluster/layout"
	"leasehold.example/cluster/part"
)

const (
	// How long containerd may take until it serves.
	containerdTimeout = 60 * time.Second
	// How long the unpacking of one image may take.
	loadTimeout = 3 * time.Minute
	// The namespace within containerd in which Kubernetes looks.
	containerdNamespace = "k8s.io"
)

// node is one of them, and where its files are.
type node struct {
	layout.Node
	cluster  layout.Folder
	folder   layout.Folder
	failures chan error
}

// Main runs the command line `cluster node DIR NAME`: it obeys stdin until that is closed, or a
// process of it ends.
func Main(args []string) error {
	if err := layout.MustBeInside(layout.NodeCommand); err != nil {
		return err
	}
	if len(args) != 2 {
		return errors.New("which folder, and which node?")
	}
	cluster := layout.Folder(args[0])
	found, err := layout.Find(args[1])
	if err != nil {
		return err
	}
	n := &node{Node: found, cluster: cluster, folder: cluster.Node(found.Name), failures: make(chan error, 16)}
	lines := make(chan string)
	go func() {
		for scanner := bufio.NewScanner(os.Stdin); scanner.Scan(); {
			lines <- scanner.Text()
		}
		close(lines)
	}()
	if err := errors.Join(n.prepareMounts(), prepareNetwork(), n.writeFiles(), n.startContainerd()); err != nil {
		return err
	}
	for {
		select {
		case err := <-n.failures:
			return err
		case line, open := <-lines:
			if !open {
				return nil
			}
			fmt.Println(part.Answer(n.obey(line)))
		}
	}
}

// obey does what one line of stdin says: `load TAR`, or `start` once there is an API server.
func (n *node) obey(line string) error {
	switch word, rest, _ := strings.Cut(line, " "); word {
	case "load":
		return n.load(rest)
	case "start":
		return n.startAgents()
	default:
		return fmt.Errorf("there is no command %q", word)
	}
}

// prepareMounts gives the node its own data, logs and sockets at the usual places. Nobody outside
// sees these mounts, nor those that the kubelet and containerd add: they are gone with the last
// process of the node.
func (n *node) prepareMounts() error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for path, at := range map[string]string{n.folder.Data(): "/var/lib", n.folder.Path("log"): "/var/log"} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := syscall.Mount(path, at, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s on %s: %w", path, at, err)
		}
	}
	return syscall.Mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755")
}

func prepareNetwork() error {
	return errors.Join(
		sysctl("net/ipv4/ip_forward", "1"),
		// It sends packets for services back through the interface that they came from. That is no reason
		// to tell the sender of a shorter way: there is none.
		sysctl("net/ipv4/conf/all/send_redirects", "0"),
		sysctl("net/ipv4/conf/default/send_redirects", "0"),
	)
}

// sysctl sets what is this network namespace's own.
func sysctl(name, value string) error {
	return os.WriteFile("/proc/sys/"+name, []byte(value), 0o644)
}

func (n *node) startContainerd() error {
	command := exec.Command("containerd", "--config", n.folder.Path("containerd.toml"))
	started, err := part.Start("containerd", n.folder.Path("containerd.log"), command, n.failures)
	if err != nil {
		return err
	}
	for end := time.Now().Add(containerdTimeout); ; time.Sleep(100 * time.Millisecond) {
		err := part.Run("ctr", "--connect-timeout", "1s", "version")
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("containerd doesn't serve after %v: %w; its log ends with\n%s", containerdTimeout, err, started.LogEnd())
		}
	}
}

// load loads a docker-archive.
func (n *node) load(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, "ctr", "--namespace", containerdNamespace, "images", "import", path)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("loading %s: %w: %s", path, err, output)
	}
	return nil
}

// startAgents starts what needs the API server.
func (n *node) startAgents() error {
	program, err := layout.Program("node")
	if err != nil {
		return err
	}
	kubelet, err := layout.WriteKubeconfig(n.cluster, n.folder.Path("kubelet.kubeconfig"), "system:node:"+n.Name, "system:nodes")
	if err != nil {
		return err
	}
	if _, err := layout.WriteKubeconfig(n.cluster, n.folder.Path("kube-proxy.kubeconfig"), "system:kube-proxy"); err != nil {
		return err
	}
	command := exec.Command(program, "kubelet",
		"--config="+n.folder.Path("kubelet.yaml"),
		"--kubeconfig="+kubelet,
		"--hostname-override="+n.Name,
		"--node-ip="+n.Address,
	)
	if _, err := part.Start("kubelet", n.folder.Path("kubelet.log"), command, n.failures); err != nil {
		return err
	}
	command = exec.Command(program, "kube-proxy", "--config="+n.folder.Path("kube-proxy.yaml"))
	_, err = part.Start("kube-proxy", n.folder.Path("kube-proxy.log"), command, n.failures)
	return err
}
