// Command pod is what containers of test clusters run, in an image that holds
// nothing else. Without arguments it waits until it is told to stop, which is
// all that the process that holds a pod's namespaces has to do.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = "usage: pod [echo WORD... | cat | serve ADDRESS | fetch URL]"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pod:", err)
		os.Exit(1) //nolint:gocritic // nothing is left to undo
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		<-ctx.Done()
		return nil
	}
	switch command, rest := args[0], args[1:]; {
	case command == "echo":
		fmt.Println(strings.Join(rest, " "))
		return nil
	case command == "cat":
		_, err := io.Copy(os.Stdout, os.Stdin)
		return err
	case command == "serve" && len(rest) == 1:
		return serve(ctx, rest[0])
	case command == "fetch" && len(rest) == 1:
		return fetch(ctx, rest[0])
	}
	return fmt.Errorf("%s", usage)
}

// serve answers every request with a greeting.
func serve(ctx context.Context, address string) error {
	s := &http.Server{
		Addr: address, ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello from a pod") }),
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	if err := s.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

func fetch(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
