// Package layout says what the cluster's addresses, files and commands are: what its processes have
// to agree on.
package layout

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// Commands by which the program starts itself again.
const (
	InitCommand      = "init"
	SuperviseCommand = "supervise"
	NodeCommand      = "node"
)

// Addresses exist in the cluster's network namespaces only.
const (
	// Control is the name of the network namespace of the API server, etcd, the controllers and
	// CoreDNS.
	Control = "control"
	// ControlAddress is theirs. CoreDNS answers on its port 53.
	ControlAddress = "10.250.0.1"
	// PrefixBits is the length of the prefix that the control plane and the nodes share.
	PrefixBits = 24
	// PodRange holds the pods of all nodes.
	PodRange = "10.244.0.0/16"
	// ServiceRange is the API server's.
	ServiceRange = "10.96.0.0/16"
	// APIServerService is the first address in it.
	APIServerService = "10.96.0.1"
	// PauseImage is what holds the namespaces of a pod.
	PauseImage = "localhost/pause:test"
	// PluginFolder is where Debian puts the plugins that give pods their interfaces.
	PluginFolder = "/usr/lib/cni"
)

// Node is one of the two.
type Node struct {
	// Name is also that of its network namespace.
	Name     string
	Address  string
	PodRange string
}

// Nodes are all.
func Nodes() []Node {
	return []Node{
		{Name: "one", Address: "10.250.0.11", PodRange: "10.244.0.0/24"},
		{Name: "two", Address: "10.250.0.12", PodRange: "10.244.1.0/24"},
	}
}

// Find finds a node by its name.
func Find(name string) (Node, error) {
	for _, node := range Nodes() {
		if node.Name == name {
			return node, nil
		}
	}
	return Node{}, fmt.Errorf("there is no node %q", name)
}

// Folder is that of one cluster.
type Folder string

// Path of something in it.
func (f Folder) Path(names ...string) string {
	return filepath.Join(append([]string{string(f)}, names...)...)
}

// ControlPlane is the folder of etcd and the API server.
func (f Folder) ControlPlane() Folder {
	return Folder(f.Path("controlplane"))
}

// Kubeconfig is that of an administrator.
func (f Folder) Kubeconfig() string {
	return f.ControlPlane().Path("kubeconfig")
}

// Node is the folder of a node.
func (f Folder) Node(name string) Folder {
	return Folder(f.Path(name))
}

// Data is what stands in for /var/lib in the folder of a node.
func (f Folder) Data() string {
	return f.Path("lib")
}

// ID names the cluster where it shares something with others on the machine: in the cgroups and
// under /run.
func (f Folder) ID() string {
	return fmt.Sprintf("leasehold-%x", sha256.Sum256([]byte(f)))[:len("leasehold-")+8]
}

// Cgroup is the cgroup below which a node keeps its pods; a name that ends up in each hierarchy.
func (f Folder) Cgroup(node string) string {
	return "/" + filepath.Join(f.ID(), node)
}

// MustBeInside refuses to do what would change the machine's own network and mounts: the first
// process must be this program.
func MustBeInside(command string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if first, err := os.Readlink("/proc/1/exe"); err != nil || first != self {
		return fmt.Errorf("%s is started by `cluster up` only", command)
	}
	return nil
}

// Program is the path of one of the programs that the build put beside this one.
func Program(name string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	path := filepath.Join(filepath.Dir(self), name)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s isn't there: run tests/cluster/build", path)
	}
	return path, nil
}
