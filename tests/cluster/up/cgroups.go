package up

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"leasehold.example/cluster/layout"
)

// How long the kernel may take to forget a cgroup's last process.
const cgroupTimeout = 10 * time.Second

// makeCgroups makes each node's cgroup in each hierarchy. The kubelets would find each other's pods
// in a common one, and kill them as orphans.
func makeCgroups(folder layout.Folder) error {
	hierarchies, err := cgroupHierarchies("cgroup")
	if err != nil {
		return err
	}
	if len(hierarchies) == 0 {
		return errors.New("no cgroup v1 is mounted here, and this harness knows no other")
	}
	for _, hierarchy := range hierarchies {
		for _, node := range layout.Nodes() {
			path := filepath.Join(hierarchy, folder.Cgroup(node.Name))
			if err := os.MkdirAll(path, 0o755); err != nil {
				return err
			}
			// No process can join before these are filled, from the top down.
			for _, level := range []string{filepath.Dir(path), path} {
				if err := errors.Join(inherit(level, "cpuset.cpus"), inherit(level, "cpuset.mems")); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// inherit copies a setting from the cgroup above, where the hierarchy has that setting.
func inherit(cgroup, setting string) error {
	value, err := os.ReadFile(filepath.Join(filepath.Dir(cgroup), setting))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(cgroup, setting), value, 0o644)
}

// removeCgroups removes those of a cluster whose processes are gone. The kubelets make them in
// cgroup v2 too, if that is mounted beside v1.
func removeCgroups(id string) error {
	hierarchies, err := cgroupHierarchies("cgroup", "cgroup2")
	if err != nil {
		return err
	}
	for _, hierarchy := range hierarchies {
		for end := time.Now().Add(cgroupTimeout); ; time.Sleep(20 * time.Millisecond) {
			err := removeCgroup(filepath.Join(hierarchy, id))
			if err == nil {
				break
			}
			if time.Now().After(end) {
				return err
			}
		}
	}
	return nil
}

// removeCgroup removes it with all below it: the files in it are the kernel's, only its folders can
// be removed.
func removeCgroup(cgroup string) error {
	var folders []string
	err := filepath.WalkDir(cgroup, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, folder := range slices.Backward(folders) {
		if err := os.Remove(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// cgroupHierarchies are the mounts of these kinds.
func cgroupHierarchies(kinds ...string) ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var hierarchies []string
	for line := range strings.Lines(string(mounts)) {
		if words := strings.Fields(line); slices.Contains(kinds, words[2]) {
			hierarchies = append(hierarchies, words[1])
		}
	}
	return hierarchies, nil
}
