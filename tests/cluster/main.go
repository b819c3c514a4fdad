// Command cluster runs a real Kubernetes with two nodes for tests, on one machine and beside
// everything else on it.
//
//	cluster up --dir DIR [--image TAR]...   the cluster, until stdin is closed: see package up
//
// It starts itself again for the parts that live in namespaces of their own: see packages inside
// and node.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"

	"leasehold.example/cluster/inside"
	"leasehold.example/cluster/layout"
	"leasehold.example/cluster/node"
	"leasehold.example/cluster/up"
)

func main() {
	if len(os.Args) < 2 {
		usage("which command?")
	}
	// The kernel ends what is inside when the thread that started it ends. This one lasts as long as
	// the process.
	runtime.LockOSThread()
	var err error
	switch args := os.Args[2:]; os.Args[1] {
	case "up":
		err = up.Main(args)
	case layout.InitCommand:
		err = inside.Init(args)
	case layout.SuperviseCommand:
		err = inside.Supervise(args)
	case layout.NodeCommand:
		err = node.Main(args)
	default:
		usage(fmt.Sprintf("there is no command %q", os.Args[1]))
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "cluster: %v\n", err)
		os.Exit(1)
	}
}

func usage(problem string) {
	fmt.Fprintf(os.Stderr, "cluster: %s\nusage: cluster up --dir DIR [--image TAR]...\n", problem)
	os.Exit(2)
}
