// Package inside is what runs in the cluster's process namespace, in the network namespace of the
// control plane.
package inside

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"leasehold.example/cluster/layout"
)

// Init is the first process in there: it prepares the mount namespace, starts the supervisor, and
// takes over the processes whose parents have ended, as the first process of every system does.
// Whenever it ends, the kernel kills all.
func Init(args []string) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("%s is started by `cluster up` only", layout.InitCommand)
	}
	if err := prepareMounts(); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	arguments := append([]string{program, layout.SuperviseCommand}, args...)
	files := []uintptr{os.Stdin.Fd(), os.Stdout.Fd(), os.Stderr.Fd()}
	supervisor, err := syscall.ForkExec(program, arguments, &syscall.ProcAttr{Env: os.Environ(), Files: files})
	if err != nil {
		return err
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return fmt.Errorf("waiting for processes: %w", err)
		case pid == supervisor:
			os.Exit(max(1, status.ExitStatus()))
		}
	}
}

// prepareMounts changes nothing outside. /run is empty: sockets and names of namespaces are the
// cluster's own.
func prepareMounts() error {
	return errors.Join(
		syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""),
		syscall.Mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, ""),
		syscall.Mount("tmpfs", "/run", "tmpfs", syscall.MS_NOSUID|syscall.MS_NODEV, "mode=755"),
	)
}
