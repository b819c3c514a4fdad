package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// How long a process may take to be gone after SIGKILL.
	killTimeout = 10 * time.Second
	// How long a process may take to stand still after SIGSTOP.
	freezeTimeout = 10 * time.Second
)

// child is one of the two processes, whether it runs or not.
type child struct {
	name    string
	flags   []string
	ports   []int
	pidPath string
	logPath string
	// The last process that was started; nil before the first.
	process *os.Process
	// Closed when that process is gone.
	gone chan struct{}
}

func newChild(name string, f *files, flags []string, ports ...int) *child {
	return &child{name: name, flags: flags, ports: ports, pidPath: f.path(name + ".pid"), logPath: f.path(name + ".log")}
}

// start starts it, when its ports are free. It doesn't wait until it serves.
func (c *child) start(ctx context.Context, address string) error {
	if err := waitForPorts(ctx, address, c.ports...); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(c.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	command := exec.Command(program, append([]string{c.name}, c.flags...)...)
	command.Dir = filepath.Dir(c.pidPath)
	command.Env = childEnvironment()
	command.Stdout, command.Stderr = log, log
	// A group of its own, so that Ctrl-C at a terminal reaches it through this process only.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := command.Start(); err != nil {
		return err
	}
	c.process, c.gone = command.Process, make(chan struct{})
	if err := writeFile(c.pidPath, 0o644, strconv.Itoa(c.process.Pid)+"\n"); err != nil {
		return errors.Join(err, c.process.Kill(), command.Wait())
	}
	go c.reap(command, c.gone)
	return nil
}

// reap waits for the end, whoever brings it about.
func (c *child) reap(command *exec.Cmd, gone chan<- struct{}) {
	err := command.Wait()
	fmt.Fprintf(os.Stderr, "controlplane: %s (%d) is gone: %v\n", c.name, command.Process.Pid, err)
	os.Remove(c.pidPath)
	close(gone)
}

func (c *child) running() bool {
	if c.process == nil {
		return false
	}
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// kill ends it as a crash would, and waits until it is gone. One that doesn't run is fine.
func (c *child) kill() error {
	if !c.running() {
		return nil
	}
	if err := c.process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-c.gone:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("it is still there %v after SIGKILL", killTimeout)
	}
}

// freeze stops all of its threads, and waits until they stand still: the signal alone may take
// effect later.
func (c *child) freeze() error {
	if err := c.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(freezeTimeout); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if frozen, err := allStopped(c.process.Pid); frozen || err != nil {
			return err
		}
	}
	return fmt.Errorf("it still runs %v after SIGSTOP", freezeTimeout)
}

func (c *child) thaw() error {
	return c.signal(syscall.SIGCONT)
}

func (c *child) signal(signal syscall.Signal) error {
	if !c.running() {
		return errors.New("it doesn't run")
	}
	return c.process.Signal(signal)
}

// allStopped tells whether each thread of a process is stopped.
func allStopped(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, errors.Join(err, errors.New("it is gone"))
	}
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			// It has ended since.
			continue
		}
		// The state comes after the name in brackets, which may hold anything.
		if text := string(stat); !strings.HasPrefix(text[strings.LastIndexByte(text, ')')+1:], " T") {
			return false, nil
		}
	}
	return true, nil
}

// childEnvironment leaves out what etcd would take for flags.
func childEnvironment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "ETCD_") {
			kept = append(kept, variable)
		}
	}
	return kept
}
