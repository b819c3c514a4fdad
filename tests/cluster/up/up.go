// Package up is the outermost process of the cluster: the only one that others see, and the one
// that cleans up.
//
//	cluster up --dir DIR [--image TAR]...
//
// Everything else runs in a process namespace, a mount namespace and network namespaces of its own
// below it. Killing the first process in there makes the kernel kill all others, containers
// included; and with the last of them the mounts, the interfaces and the network namespaces are
// gone. That happens however this process ends, `kill -9` included. What the kernel doesn't take
// away are cgroups and files: those are taken away here at the end, or else by the next `up` on
// this machine, of whatever folder.
//
// Once both nodes are Ready, CoreDNS answers and the images are loaded, it prints one line: the
// path of a kubeconfig. Then it obeys stdin line by line, and answers each with `ok` or
// `failed: why`:
//
//	load TAR                  loads a docker-archive into both nodes
//	freeze|thaw|stop|start [etcd|kube-apiserver]...   as `controlplane up` does
//
// It ends when stdin is closed, on SIGTERM and SIGINT, when its parent dies, and when a part of the
// cluster ends by itself. What DIR holds is described in folder.go.
package up

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"leasehold.example/cluster/layout"
)

// How often it looks whether its parent is still there.
const parentInterval = 200 * time.Millisecond

// Main runs the command line `cluster up ARGS`. It must be called on a thread that lasts as long as
// the process.
func Main(args []string) (err error) {
	folder, images, err := parse(args)
	if err != nil {
		return err
	}
	if err := checkMachine(folder); err != nil {
		return err
	}
	claim, err := claimFolder(folder)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, claim.release()) }()
	if err := emptyFolder(folder); err != nil {
		return err
	}
	if err := makeCgroups(folder); err != nil {
		return err
	}
	return run(folder, images, claim)
}

func parse(args []string) (layout.Folder, []string, error) {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder for `DIR`'s data, logs and kubeconfig; made if it isn't there")
	var images []string
	flags.Func("image", "docker-archive `TAR` to load into both nodes; may be repeated", func(path string) error {
		path, err := filepath.Abs(path)
		images = append(images, path)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return "", nil, err
	}
	if *dir == "" || flags.NArg() > 0 {
		return "", nil, errors.New("it is `cluster up --dir DIR [--image TAR]...`")
	}
	for _, image := range images {
		if _, err := os.Stat(image); err != nil {
			return "", nil, fmt.Errorf("--image: %w", err)
		}
	}
	if err := os.MkdirAll(*dir, 0o755); err != nil {
		return "", nil, err
	}
	// By its real name: it also names the cluster on this machine, and symlinks may lead elsewhere
	// inside.
	path, err := filepath.Abs(*dir)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	return layout.Folder(path), images, err
}

// run starts what is inside, and waits until it ends or should.
func run(folder layout.Folder, images []string, claim *claim) error {
	ctx, end := context.WithCancelCause(context.Background())
	go endOnSignal(end)
	go endWithParent(end)
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(program, append([]string{layout.InitCommand, string(folder)}, images...)...)
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return err
	}
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true,
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("no process in namespaces of its own: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	err = errors.Join(claim.remember(command.Process.Pid), describe(folder, command.Process.Pid))
	if err == nil {
		go passOn(stdin, end)
		select {
		case err := <-ended:
			return errors.Join(errors.New("the cluster has ended by itself"), err)
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, "cluster: it ends:", context.Cause(ctx))
		}
	}
	// The kernel lets us wait for it only once all other processes in there are gone.
	killed := command.Process.Kill()
	<-ended
	return errors.Join(err, killed)
}

// passOn gives the lines of stdin to the inside. Its end is the end of the cluster.
func passOn(inside io.Writer, end context.CancelCauseFunc) {
	io.Copy(inside, os.Stdin)
	end(errors.New("stdin was closed"))
}

func endOnSignal(end context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	end(fmt.Errorf("signal %v", <-signals))
}

// A parent that dies without closing stdin, because another process has it open too, is seen here.
func endWithParent(end context.CancelCauseFunc) {
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(parentInterval)
	}
	end(errors.New("the parent process has died"))
}

// checkMachine says what is missing, before anything is touched.
func checkMachine(folder layout.Folder) error {
	if os.Geteuid() != 0 {
		return errors.New("it needs root, for namespaces, mounts and cgroups")
	}
	// Each node has its own of these, and would no longer see the folder.
	for _, hidden := range []string{"/run/", "/var/lib/", "/var/log/"} {
		if strings.HasPrefix(string(folder)+"/", hidden) {
			return fmt.Errorf("--dir can't lie below %s", hidden)
		}
	}
	for _, program := range []string{"controlplane", "kubectl", "node", "coredns", "pause.tar"} {
		if _, err := layout.Program(program); err != nil {
			return err
		}
	}
	packages := map[string]string{
		"containerd": "containerd", "ctr": "containerd", "runc": "runc", "ip": "iproute2", "iptables": "iptables",
		"conntrack": "conntrack", "nsenter": "util-linux", layout.PluginFolder + "/ptp": "containernetworking-plugins",
	}
	for program, debian := range packages {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s isn't there: install Debian's package %s", program, debian)
		}
	}
	return nil
}
