package inside

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"leasehold.example/cluster/layout"
	"leasehold.example/cluster/part"
)

//go:embed Corefile
var corefile string

// startPlane starts etcd and the API server. Its first line comes when they are ready.
func (c *cluster) startPlane() error {
	program, err := layout.Program("controlplane")
	if err != nil {
		return err
	}
	command := exec.Command(program, "up", "--dir", string(c.folder.ControlPlane()), "--address", layout.ControlAddress)
	if c.plane, err = part.Talk("controlplane", command); err != nil {
		return err
	}
	_, err = part.Start("controlplane", c.folder.Path("controlplane.log"), command, c.failures)
	return err
}

// startNode starts the first process of a node, in namespaces of its own, and joins these to the
// network.
func (c *cluster) startNode(node layout.Node) error {
	folder := c.folder.Node(node.Name)
	if err := os.Mkdir(string(folder), 0o755); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(program, layout.NodeCommand, string(c.folder), node.Name)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET}
	dialogue, err := part.Talk("node "+node.Name, command)
	if err != nil {
		return err
	}
	started, err := part.Start("node "+node.Name, folder.Path("node.log"), command, c.failures)
	if err != nil {
		return err
	}
	c.nodes[node.Name] = dialogue
	if err := os.WriteFile(folder.Path("node.pid"), fmt.Appendln(nil, started.Pid), 0o644); err != nil {
		return err
	}
	if err := nameNamespace(node.Name, started.Pid); err != nil {
		return err
	}
	return joinNode(node)
}

// startControllers starts what stands beside the API server. Each acts as the user that has its
// rights by default.
func (c *cluster) startControllers() error {
	plane := c.folder.ControlPlane()
	manager, err := layout.WriteKubeconfig(c.folder, c.folder.Path("kube-controller-manager.kubeconfig"), "system:kube-controller-manager")
	if err != nil {
		return err
	}
	if err := c.startProgram("node", "kube-controller-manager",
		"--kubeconfig="+manager,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--cert-dir="+c.folder.Path("controlplane", "kube-controller-manager"),
		"--service-account-private-key-file="+plane.Path("pki", "service-accounts.key"),
		"--root-ca-file="+plane.Path("pki", "ca.crt"),
		"--use-service-account-credentials",
	); err != nil {
		return err
	}
	scheduler, err := layout.WriteKubeconfig(c.folder, c.folder.Path("kube-scheduler.kubeconfig"), "system:kube-scheduler")
	if err != nil {
		return err
	}
	if err := c.startProgram("node", "kube-scheduler",
		"--kubeconfig="+scheduler,
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--cert-dir="+c.folder.Path("controlplane", "kube-scheduler"),
	); err != nil {
		return err
	}
	return c.startDNS()
}

func (c *cluster) startDNS() error {
	text := strings.NewReplacer("ADDRESS", layout.ControlAddress, "KUBECONFIG", c.folder.Kubeconfig()).Replace(corefile)
	path := c.folder.Path("Corefile")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return err
	}
	return c.startProgram("coredns", "coredns", "-conf", path)
}

// startProgram starts a program; one that holds several is told by the first argument which of them
// to be.
func (c *cluster) startProgram(program, name string, flags ...string) error {
	path, err := layout.Program(program)
	if err != nil {
		return err
	}
	if program != name {
		flags = append([]string{name}, flags...)
	}
	command := exec.Command(path, flags...)
	command.Dir = string(c.folder)
	_, err = part.Start(name, c.folder.Path(name+".log"), command, c.failures)
	return err
}
