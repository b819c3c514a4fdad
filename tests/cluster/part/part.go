// Package part starts the processes that the cluster consists of, gives each a log, and notices
// when one ends.
package part

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// How many lines of a log an error shows.
const shownLogLines = 15

// Part is a process that should run as long as the cluster does.
type Part struct {
	Name    string
	Pid     int
	logPath string
}

// Start starts it with its output in the log. Its end, whatever brings it about, is a message in
// failures.
func Start(name, logPath string, command *exec.Cmd, failures chan<- error) (*Part, error) {
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if command.Stdout == nil {
		command.Stdout = log
	}
	command.Stderr = log
	if command.SysProcAttr == nil {
		command.SysProcAttr = &syscall.SysProcAttr{}
	}
	// A group of its own, so that Ctrl-C at a terminal ends the cluster in one place only.
	command.SysProcAttr.Setpgid = true
	if err := command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	p := &Part{Name: name, Pid: command.Process.Pid, logPath: logPath}
	go func() {
		err := command.Wait()
		// The reason comes last: the log of a node ends with that of its part that has ended.
		failures <- fmt.Errorf("the log of %s ends with\n%s\n%[1]s has ended: %[3]v", name, p.LogEnd(), err)
	}()
	return p, nil
}

// LogEnd is what an error should show.
func (p *Part) LogEnd() string {
	text, err := os.ReadFile(p.logPath)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-shownLogLines):], "\n")
}

// Run runs a command to its end. An error holds what it has printed.
func Run(name string, args ...string) error {
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
