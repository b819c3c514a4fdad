package part

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Dialogue is with a process that answers each line with one: `ok`, or `failed: why`.
type Dialogue struct {
	name  string
	stdin io.Writer
	lines <-chan string
}

// Talk takes hold of stdin and stdout of a command that isn't started yet.
func Talk(name string, command *exec.Cmd) (*Dialogue, error) {
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	reader, writer := io.Pipe()
	command.Stdout = writer
	lines := make(chan string)
	go func() {
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			lines <- scanner.Text()
		}
	}()
	return &Dialogue{name: name, stdin: stdin, lines: lines}, nil
}

// Line waits for the next line.
func (d *Dialogue) Line(ctx context.Context) (string, error) {
	select {
	case line := <-d.lines:
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: no answer: %w", d.name, context.Cause(ctx))
	}
}

// Ask sends a line, and waits for the answer.
func (d *Dialogue) Ask(ctx context.Context, line string) error {
	if _, err := io.WriteString(d.stdin, line+"\n"); err != nil {
		return fmt.Errorf("%s: %w", d.name, err)
	}
	answer, err := d.Line(ctx)
	if err != nil {
		return err
	}
	if answer != "ok" {
		return fmt.Errorf("%s: %s", d.name, strings.TrimPrefix(answer, "failed: "))
	}
	return nil
}

// Answer makes the line that answers, from how it went.
func Answer(err error) string {
	if err == nil {
		return "ok"
	}
	return "failed: " + strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " | ")
}
