// Command image writes the container image of one program as an archive that
// `docker load` and `ctr images import` read, without Docker and without a
// registry. It is the image of the Dockerfile: a static program, the CA bundle
// and nothing else, run by a user without rights.
//
//	go run ./hack/image --binary receiver --output bin/receiver.tar
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "image:", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	binary := flags.String("binary", "manager", "the program of cmd/ that the image runs")
	pkg := flags.String("package", "", "another main package than ./cmd/BINARY")
	tag := flags.String("tag", "", "name of the image (default trail-operator/BINARY:dev)")
	output := flags.String("output", "", "file to write (default bin/BINARY.tar)")
	bundle := flags.String("ca-bundle", "/etc/ssl/certs/ca-certificates.crt", "the CA certificates to put in")
	arch := flags.String("arch", runtime.GOARCH, "processor architecture, as Go names it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *pkg == "" {
		*pkg = "./cmd/" + *binary
	}
	if *tag == "" {
		*tag = "trail-operator/" + *binary + ":dev"
	}
	if *output == "" {
		*output = filepath.Join("bin", *binary+".tar")
	}

	dir, err := os.MkdirTemp("", "trail-operator-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, *binary)
	if err := build(program, *pkg, *arch); err != nil {
		return err
	}
	// The certificates change less often than the program: with them in a layer
	// of their own, below, a node fetches only the program again.
	archive, err := newArchive(*tag, *arch,
		layer{path: "etc/ssl/certs/ca-certificates.crt", source: *bundle, mode: 0o644},
		layer{path: "trail-operator", source: program, mode: 0o755})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(*output), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(*output, archive, 0o644); err != nil {
		return err
	}
	fmt.Printf("%s %s (%.1f MB)\n", *output, *tag, float64(len(archive))/1e6)
	return nil
}

// build makes a program that needs no file of its system to run.
func build(out, pkg, arch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", pkg, err)
	}
	return nil
}
