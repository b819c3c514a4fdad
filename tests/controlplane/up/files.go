package up

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Names of what is made before the first start.
const (
	authorityCertificate = "pki/ca.crt"
	serverCertificate    = "pki/server.crt"
	serverKey            = "pki/server.key"
	accountKey           = "pki/service-accounts.key"
	tokens               = "pki/tokens.csv"
	auditPolicy          = "pki/audit-policy.yaml"
)

// How long another process may still hold the folder.
const lockTimeout = 2 * time.Second

// One line for each write, once it is answered.
const auditPolicyText = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
omitManagedFields: true
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
`

const kubeconfigText = `apiVersion: v1
kind: Config
clusters:
- name: controlplane
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: admin
  user:
    token: %s
contexts:
- name: admin
  context: {cluster: controlplane, user: admin}
current-context: admin
`

// files is the folder of a control plane.
type files struct {
	dir     string
	address string
	// Held as long as the process lives: two of them in one folder would ruin etcd's data.
	lock *os.File
}

// openFiles makes what the control plane needs, unless a former one has.
func openFiles(dir, address string) (*files, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "pki"), 0o700); err != nil {
		return nil, err
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	f := &files{dir: dir, lock: lock}
	former, err := os.ReadFile(f.path("address"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return f, f.make(address)
	case err != nil:
		return nil, err
	}
	f.address = strings.TrimSpace(string(former))
	if address != "" && address != f.address {
		return nil, fmt.Errorf("the control plane in %s has the address %s, it can't move to %s", dir, f.address, address)
	}
	return f, nil
}

// lockFolder waits a little: one that was killed may not be gone yet.
func lockFolder(dir string) (*os.File, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(lockTimeout)
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return lock, nil
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("another control plane runs in %s: %w", dir, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// make writes all files, that with the address last: it says that the others are there.
func (f *files) make(address string) error {
	if err := f.chooseAddress(address); err != nil {
		return err
	}
	authority, err := makeCertificates(f)
	if err != nil {
		return err
	}
	token := rand.Text()
	kubeconfig := fmt.Sprintf(kubeconfigText, f.server(), base64.StdEncoding.EncodeToString(authority), token)
	if err := errors.Join(
		makeAccountKey(f.path(accountKey)),
		writeFile(f.path(tokens), 0o600, token+`,admin,1,"system:masters"`+"\n"),
		writeFile(f.path(auditPolicy), 0o600, auditPolicyText),
		writeFile(f.kubeconfig(), 0o600, kubeconfig),
	); err != nil {
		return err
	}
	return writeFile(f.path("address"), 0o600, f.address+"\n")
}

func (f *files) chooseAddress(address string) (err error) {
	if address == "" {
		f.address, err = unusedLoopback()
		return err
	}
	parsed, err := netip.ParseAddr(address)
	if err != nil {
		return fmt.Errorf("--address: %w", err)
	}
	f.address = parsed.String()
	return nil
}

func (f *files) path(name string) string {
	return filepath.Join(f.dir, name)
}

func (f *files) kubeconfig() string {
	return f.path("kubeconfig")
}

// server is the URL of the API server.
func (f *files) server() string {
	return "https://" + hostPort(f.address, apiServerPort)
}

func (f *files) adminToken() (string, error) {
	text, err := os.ReadFile(f.path(tokens))
	token, _, _ := strings.Cut(string(text), ",")
	return token, err
}

// writeFile writes all or nothing.
func writeFile(path string, mode os.FileMode, text string) error {
	unfinished := path + ".new"
	if err := os.WriteFile(unfinished, []byte(text), mode); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
