package inside

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"

	"leasehold.example/cluster/layout"
	"leasehold.example/cluster/part"
)

// The name of the bridge that joins the control plane and the nodes.
const bridge = "nodes"

// ip runs the lines, each of which is a command of ip, in this network namespace.
func ip(lines ...string) error {
	return ipBatch(lines)
}

// ipIn does so in another one.
func ipIn(namespace string, lines ...string) error {
	return ipBatch(lines, "-netns", namespace)
}

func ipBatch(lines []string, flags ...string) error {
	text := strings.Join(lines, "\n") + "\n"
	command := exec.Command("ip", append(flags, "-batch", "-")...)
	command.Stdin = strings.NewReader(text)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s; the lines were:\n%s", strings.Join(flags, " "), err, output, text)
	}
	return nil
}

// nameNamespace gives the network namespace of a process a name in /run/netns.
func nameNamespace(name string, pid int) error {
	return part.Run("ip", "netns", "attach", name, strconv.Itoa(pid))
}

// makeControlNetwork makes the bridge in this network namespace, with the control plane's address
// on it.
func makeControlNetwork() error {
	return ip(
		"link set lo up",
		"link add "+bridge+" type bridge",
		fmt.Sprintf("address add %s/%d dev %s", layout.ControlAddress, layout.PrefixBits, bridge),
		"link set "+bridge+" up",
	)
}

// joinNode joins a node to the bridge. Pods have routes from everywhere, and no way to anywhere
// outside.
func joinNode(node layout.Node) error {
	outer := "to-" + node.Name
	if err := ip(
		fmt.Sprintf("link add %s type veth peer name eth0 netns %s", outer, node.Name),
		fmt.Sprintf("link set %s master %s up", outer, bridge),
		fmt.Sprintf("route add %s via %s", node.PodRange, node.Address),
	); err != nil {
		return err
	}
	lines := []string{
		"link set lo up",
		fmt.Sprintf("address add %s/%d dev eth0", node.Address, layout.PrefixBits),
		"link set eth0 up",
		// Never used: kube-proxy changes such a destination on its way. But the first look for a route is
		// before that.
		fmt.Sprintf("route add %s dev eth0", layout.ServiceRange),
	}
	for _, other := range layout.Nodes() {
		if other.Name != node.Name {
			lines = append(lines, fmt.Sprintf("route add %s via %s", other.PodRange, other.Address))
		}
	}
	return ipIn(node.Name, lines...)
}

// routeServices makes the addresses of services reachable from the control plane's namespace, where
// tests may have clients: the first node's kube-proxy sends them on.
func routeServices() error {
	return ip(fmt.Sprintf("route add %s via %s", layout.ServiceRange, layout.Nodes()[0].Address))
}
