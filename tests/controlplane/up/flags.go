package up

import (
	"fmt"
	"net/netip"
	"path/filepath"
)

// Where services get their addresses from. The API server's own has the first.
const (
	serviceRange     = "10.96.0.0/16"
	apiServerService = "10.96.0.1"
)

// etcdFlags: it needn't wait for the disk. What it wrote outlives its process, and no test takes
// the machine's power away.
func etcdFlags(f *files) []string {
	client := "http://" + hostPort(f.address, etcdPort)
	peer := "http://" + hostPort(f.address, etcdPeerPort)
	return []string{
		"--name=" + Etcd,
		"--data-dir=" + f.path("etcd"),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=" + Etcd + "=" + peer,
		"--unsafe-no-fsync",
		"--log-outputs=stderr",
	}
}

func apiServerFlags(f *files) []string {
	flags := []string{
		"--etcd-servers=http://" + hostPort(f.address, etcdPort),
		"--bind-address=" + f.address,
		"--advertise-address=" + f.address,
		fmt.Sprintf("--secure-port=%d", apiServerPort),
		"--tls-cert-file=" + f.path(serverCertificate),
		"--tls-private-key-file=" + f.path(serverKey),
		"--cert-dir=" + filepath.Dir(f.path(serverCertificate)),
		"--token-auth-file=" + f.path(tokens),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + f.path(accountKey),
		"--service-account-key-file=" + f.path(accountKey),
		"--service-cluster-ip-range=" + serviceRange,
		// Names of nodes can't be resolved here.
		"--kubelet-preferred-address-types=InternalIP",
		"--audit-policy-file=" + f.path(auditPolicy),
		"--audit-log-path=" + f.path("audit.log"),
		// No rotation: whoever counts lines counts all of them.
		"--audit-log-maxsize=0",
		"--profiling=false",
	}
	if address, err := netip.ParseAddr(f.address); err == nil && address.IsLoopback() {
		// The default refuses such an address. On others it is what makes the API server's service lead
		// anywhere.
		flags = append(flags, "--endpoint-reconciler-type=none")
	}
	return flags
}
