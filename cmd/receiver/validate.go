package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/utils/clock"

	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/validation"
	"github.com/trail-operator/trail-operator/internal/validator"
)

// validate is `receiver validate-logs`, which runs in a pod of its own, without
// anything of the receiver's: the image is at hand wherever the receiver is. It
// returns 0 when there is an answer, whichever it is.
func validate(args []string) int {
	flags := flag.NewFlagSet("receiver validate-logs", flag.ContinueOnError)
	input := flags.String("input", "/etc/trail-validation/"+validation.FileInput, "`file` that the manager has written")
	message := flags.String("message", "/dev/termination-log", "`file` that becomes the termination message")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o := validator.Options{Input: *input, Message: *message, Open: minio.New, Clock: clock.RealClock{}, Out: os.Stdout}
	if err := validator.Run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "receiver validate-logs:", err)
		return 2
	}
	return 0
}
