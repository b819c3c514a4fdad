// Package up starts etcd and kube-apiserver as child processes, and does with them what tests ask
// for.
//
// When both serve, it prints one line: the path of a kubeconfig of an administrator. From then on
// it reads commands from stdin, one a line, and answers each with one line, `ok` or `failed: WHY`:
//
//	freeze [NAME...]  SIGSTOP; answered once no thread runs any more
//	thaw [NAME...]    SIGCONT
//	stop [NAME...]    SIGKILL; answered once the process is gone
//	start [NAME...]   starts what doesn't run, with its data and its address; answered once it serves
//
// NAME is `etcd` or `kube-apiserver`; without one the command is for both. It kills both and ends
// when stdin is closed, on SIGTERM and SIGINT, and when its parent process dies; both also die with
// it, however it ends.
//
// What DIR holds: `kubeconfig`, the files NAME.pid (there as long as the process is), NAME.log,
// `audit.log` (one line of JSON for each write that the API server has answered), and what the two
// keep for themselves. A later `up` with the same DIR goes on with all of it.
package up

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Names of the two children: commands of this program, and stems of their files.
const (
	Etcd      = "etcd"
	APIServer = "kube-apiserver"
)

// How often it looks whether its parent is still there.
const parentInterval = 200 * time.Millisecond

// Main runs the command line `controlplane up ARGS`. It must be called on a thread that lasts as
// long as the process.
func Main(args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder for `DIR`'s data, logs and kubeconfig; made if it isn't there")
	address := flags.String("address", "", "`IP` of this machine to listen on (default: an unused one of 127.0.0.0/8)")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return errors.New("it is `controlplane up --dir DIR [--address IP]`")
	}
	ctx, end := context.WithCancelCause(context.Background())
	commands := make(chan string)
	go endOnSignal(end)
	go endWithParent(end)
	go readCommands(ctx, commands, end)

	plane, err := openPlane(*dir, *address)
	if err != nil {
		return err
	}
	defer plane.stop(plane.children())
	if err := plane.start(ctx, plane.children()); err != nil {
		return err
	}
	fmt.Println(plane.files.kubeconfig())
	for {
		select {
		case <-ctx.Done():
			fmt.Fprintln(os.Stderr, "controlplane: it ends:", context.Cause(ctx))
			return nil
		case command := <-commands:
			if err := plane.obey(ctx, command); err != nil {
				fmt.Println("failed:", strings.ReplaceAll(err.Error(), "\n", " | "))
			} else {
				fmt.Println("ok")
			}
		}
	}
}

func endOnSignal(end context.CancelCauseFunc) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	end(fmt.Errorf("signal %v", <-signals))
}

// A parent that dies without closing stdin, because another process has it open too, is seen here.
func endWithParent(end context.CancelCauseFunc) {
	parent := os.Getppid()
	for os.Getppid() == parent {
		time.Sleep(parentInterval)
	}
	end(errors.New("the parent process has died"))
}

func readCommands(ctx context.Context, commands chan<- string, end context.CancelCauseFunc) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		select {
		case commands <- lines.Text():
		case <-ctx.Done():
			return
		}
	}
	end(errors.New("stdin was closed"))
}
