package up

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"leasehold.example/cluster/layout"
)

// Where each cluster of this machine has a file: locked as long as its outermost process lives. Its
// first line is the cluster's folder; its second the boot, and the id and the start time of the
// first process inside.
const claims = "/run/leasehold-cluster"

// How long a process may take to be gone after SIGKILL.
const killTimeout = 10 * time.Second

// claim is the file of a cluster, locked.
type claim struct {
	file *os.File
	id   string
}

// claimFolder cleans up after all clusters whose outermost process was killed, and makes sure that
// this folder has none.
func claimFolder(folder layout.Folder) (*claim, error) {
	if err := os.MkdirAll(claims, 0o700); err != nil {
		return nil, err
	}
	// One at a time: a file that is made and not locked yet would be taken for one that was left
	// behind.
	all, err := lockFile(filepath.Join(claims, "lock"), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	defer all.Close()
	if err := cleanUpOthers(); err != nil {
		return nil, err
	}
	file, err := lockFile(filepath.Join(claims, folder.ID()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err != nil {
		return nil, fmt.Errorf("another cluster runs in %s: %w", folder, err)
	}
	_, err = fmt.Fprintln(file, folder)
	return &claim{file: file, id: folder.ID()}, err
}

func cleanUpOthers() error {
	paths, err := filepath.Glob(filepath.Join(claims, "leasehold-*"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		file, err := lockFile(path, syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			continue
		} else if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "cluster: it cleans up after %s, which was killed\n", filepath.Base(path))
		left := &claim{file: file, id: filepath.Base(path)}
		if err := left.release(); err != nil {
			return fmt.Errorf("what %s left behind: %w", left.id, err)
		}
	}
	return nil
}

// remember writes down the first process inside.
func (c *claim) remember(pid int) error {
	_, err := fmt.Fprintf(c.file, "%s %d %s\n", boot(), pid, startTime(pid))
	return err
}

// release takes away what the kernel doesn't, and the claim with it.
func (c *claim) release() error {
	defer c.file.Close()
	text, err := os.ReadFile(c.file.Name())
	if err != nil {
		return err
	}
	folder, process, _ := strings.Cut(string(text), "\n")
	if err := killInside(process); err != nil {
		return err
	}
	if err := errors.Join(removeCgroups(c.id), removeData(layout.Folder(folder))); err != nil {
		return err
	}
	return os.Remove(c.file.Name())
}

// killInside kills the first process inside, if it is still that one. The kernel has done so
// already, unless something went very wrong.
func killInside(process string) error {
	words := strings.Fields(process)
	if len(words) != 3 {
		// None was started.
		return nil
	}
	pid, err := strconv.Atoi(words[1])
	if err != nil {
		return err
	}
	isIt := func() bool { return words[0] == boot() && words[2] == startTime(pid) }
	for end := time.Now().Add(killTimeout); isIt(); time.Sleep(10 * time.Millisecond) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("process %d is still there %v after SIGKILL", pid, killTimeout)
		}
	}
	return nil
}

// boot tells one run of the machine from another.
func boot() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(text))
}

// startTime tells a process from a later one of the same id; empty if there is none.
func startTime(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// Behind the name in brackets, which may hold anything: it is the 22nd field, the name being the
	// second.
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return fields[22-3]
}

func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}
