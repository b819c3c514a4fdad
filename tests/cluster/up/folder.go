package up

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"leasehold.example/cluster/layout"
)

// What a folder holds:
//
//	kubeconfig        of an administrator; its server is reached in the network namespace control only
//	kubectl ARG...    kubectl in that namespace as that administrator
//	enter NAME COMMAND...   any command in the network namespace control, or in all namespaces of node one or two
//	                  (`enter control ip link set to-two down` takes node two off the network, `... up` puts it back)
//	netns/NAME        the network namespaces control, one and two, for nsenter --net
//	controlplane/     what `controlplane up` keeps, audit.log included; etcd's data, until the cluster ends
//	NAME.log          of the controllers and CoreDNS
//	one/, two/        the logs and the settings of a node's processes; its data, until the cluster ends
const (
	kubectlScript = `#!/bin/sh
exec nsenter --net='%s/netns/%s' '%s' --kubeconfig='%s' "$@"
`
	// Process ids in node.pid are those of the namespace inside.
	enterScript = `#!/bin/sh
set -eu
name=$1
shift
if [ "$name" = %[2]s ]; then
    exec nsenter --net='%[1]s/netns/%[2]s' "$@"
fi
pid=$(cat "%[1]s/$name/node.pid")
exec nsenter --target %[3]d --pid --mount nsenter --target "$pid" --mount --net --wd=/ "$@"
`
)

// mark is the file that says that a folder is a cluster's.
const mark = ".cluster"

// emptyFolder takes away what an earlier cluster has left. It touches no folder that is anything
// else.
func emptyFolder(folder layout.Folder) error {
	entries, err := os.ReadDir(string(folder))
	if err != nil {
		return err
	}
	if _, err := os.Stat(folder.Path(mark)); err != nil && len(entries) > 0 {
		return fmt.Errorf("%s isn't empty, and isn't of an earlier cluster: choose another --dir", folder)
	}
	if err := os.WriteFile(folder.Path(mark), nil, 0o644); err != nil {
		return err
	}
	names := []string{"controlplane", "netns"}
	for _, node := range layout.Nodes() {
		names = append(names, node.Name)
	}
	for _, name := range names {
		if err := os.RemoveAll(folder.Path(name)); err != nil {
			return err
		}
	}
	return os.Mkdir(folder.Path("netns"), 0o755)
}

// removeData removes what takes up space: images, containers and etcd's files. Mounts in there were
// gone with the last process that could see them.
func removeData(folder layout.Folder) error {
	// It may have been killed before it had written its name down, and it refuses a folder that is
	// something else.
	if _, err := os.Stat(folder.Path(mark)); folder == "" || err != nil {
		return nil
	}
	errs := []error{os.RemoveAll(folder.ControlPlane().Path("etcd"))}
	for _, node := range layout.Nodes() {
		errs = append(errs, os.RemoveAll(folder.Node(node.Name).Data()))
	}
	return errors.Join(errs...)
}

// describe writes what leads others into the cluster, whose first process has this id.
func describe(folder layout.Folder, pid int) error {
	names := []string{layout.Control}
	for _, node := range layout.Nodes() {
		names = append(names, node.Name)
	}
	for _, name := range names {
		if err := os.Symlink(fmt.Sprintf("/proc/%d/root/run/netns/%s", pid, name), folder.Path("netns", name)); err != nil {
			return err
		}
	}
	kubectl, err := layout.Program("kubectl")
	if err != nil {
		return err
	}
	if strings.Contains(string(folder)+kubectl, "'") {
		return errors.New("no path may hold a quote")
	}
	return errors.Join(
		script(folder, "kubectl", fmt.Sprintf(kubectlScript, folder, layout.Control, kubectl, folder.Kubeconfig())),
		script(folder, "enter", fmt.Sprintf(enterScript, folder, layout.Control, pid)),
		relink("controlplane/kubeconfig", folder.Path("kubeconfig")),
	)
}

func script(folder layout.Folder, name, text string) error {
	return os.WriteFile(folder.Path(name), []byte(text), 0o755)
}

func relink(target, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.Symlink(target, path)
}
