package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// story runs commands and shows them as a person would see them on a terminal.
type story struct {
	ctx   context.Context
	out   io.Writer
	dir   string // the demo's own folder
	path  string // folder of our programs and kubectl, first on the PATH
	env   []string
	start time.Time
}

// chapter prints a heading with the time since the start.
func (s *story) chapter(format string, args ...any) {
	fmt.Fprintf(s.out, "\n── %s  (%.0f s)\n", fmt.Sprintf(format, args...), time.Since(s.start).Seconds())
}

func (s *story) say(format string, args ...any) {
	fmt.Fprintf(s.out, "   "+format+"\n", args...)
}

// command is one command line; words after the program are split at spaces.
func (s *story) command(line string) *exec.Cmd {
	words := strings.Fields(line)
	cmd := exec.CommandContext(s.ctx, words[0], words[1:]...)
	cmd.Env = append(append(os.Environ(), s.env...), "PATH="+s.path+":"+os.Getenv("PATH"))
	if p, err := lookPath(s.path, words[0]); err == nil {
		cmd.Path, cmd.Err = p, nil
	}
	return cmd
}

// quiet runs a command and returns its output; stdin may be empty.
func (s *story) quiet(stdin, line string) (string, error) {
	cmd := s.command(line)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", line, err, out.String(), errs.String())
	}
	return out.String(), nil
}

// show runs a command and prints it with its output.
func (s *story) show(stdin, line string) (string, error) {
	fmt.Fprintf(s.out, "   $ %s\n", line)
	out, err := s.quiet(stdin, line)
	s.indent(out)
	return out, err
}

// piped is show for a line of which the first part has run already: its output
// is the stdin of the second.
func (s *story) piped(stdin, first, second string) error {
	fmt.Fprintf(s.out, "   $ %s | %s\n", first, second)
	out, err := s.quiet(stdin, second)
	s.indent(out)
	return err
}

// refused runs a command that has to fail with the given exit code, and prints it.
func (s *story) refused(code int, line string) (string, error) {
	fmt.Fprintf(s.out, "   $ %s\n", line)
	cmd := s.command(line)
	out, err := cmd.CombinedOutput()
	s.indent(string(out))
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != code {
		return string(out), fmt.Errorf("%s: should have ended with exit code %d, but: %w", line, code, err)
	}
	return string(out), nil
}

func (s *story) indent(text string) {
	for line := range strings.Lines(text) {
		fmt.Fprintf(s.out, "     %s\n", strings.TrimRight(line, "\n"))
	}
}

// until polls check until it succeeds.
func (s *story) until(what string, limit time.Duration, check func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if s.ctx.Err() != nil {
			return s.ctx.Err()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s did not happen within %s: %w", what, limit, err)
		}
		select {
		case <-s.ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}
