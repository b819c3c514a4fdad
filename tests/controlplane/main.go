// Command controlplane runs a real Kubernetes API server and its etcd for tests: RBAC and service
// accounts are on, there are no nodes and no controllers.
//
//	controlplane up --dir DIR           both, as child processes, until stdin is closed: see package up
//	controlplane etcd FLAG...           etcd alone
//	controlplane kube-apiserver FLAG... the API server alone
package main

import (
	"fmt"
	"os"
	"runtime"

	etcd "go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"

	"leasehold.example/controlplane/up"
)

func main() {
	if len(os.Args) < 2 {
		usage("which command?")
	}
	switch args := os.Args[2:]; os.Args[1] {
	case "up":
		// The kernel ends the children when the thread that started them ends. This one lasts as long as
		// the process.
		runtime.LockOSThread()
		if err := up.Main(args); err != nil {
			fmt.Fprintln(os.Stderr, "controlplane:", err)
			os.Exit(1)
		}
	case up.Etcd:
		etcd.Main(os.Args[1:])
	case up.APIServer:
		command := apiserver.NewAPIServerCommand()
		command.SetArgs(args)
		os.Exit(cli.Run(command))
	default:
		usage(fmt.Sprintf("there is no command %q", os.Args[1]))
	}
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "controlplane: %s\nusage: controlplane up --dir DIR [--address IP]\n", problem)
	fmt.Fprintf(os.Stderr, "       controlplane %s|%s FLAG...\n", up.Etcd, up.APIServer)
	os.Exit(2)
}
