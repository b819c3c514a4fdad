// Command node is what a Kubernetes cluster runs beside its API server, of the API server's
// version: the two controllers of the control plane, and the two processes of each node.
//
//	node kube-controller-manager|kube-scheduler|kubelet|kube-proxy FLAG...
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register" // --logging-format=json
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) < 2 {
		usage("which command?")
	}
	var command *cobra.Command
	switch os.Args[1] {
	case "kube-controller-manager":
		command = controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		command = scheduler.NewSchedulerCommand()
	case "kubelet":
		command = kubelet.NewKubeletCommand(context.Background())
	case "kube-proxy":
		command = proxy.NewProxyCommand()
	default:
		usage(fmt.Sprintf("there is no command %q", os.Args[1]))
	}
	command.SetArgs(os.Args[2:])
	os.Exit(cli.Run(command))
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "node: %s\nusage: node kube-controller-manager|kube-scheduler|kubelet|kube-proxy FLAG...\n", problem)
	os.Exit(2)
}
