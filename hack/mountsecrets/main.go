// Command mountsecrets does what a kubelet does for a projected volume of
// Secrets: it keeps a folder equal to them, changing all files at once. The
// demo and tests run it where there is no node.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig of an identity that may read the Secrets")
	namespace := flag.String("namespace", "trail-operator-system", "namespace of the Secrets")
	secrets := flag.String("secrets", "", "names of the Secrets, separated by commas; those that do not exist are left out")
	dir := flag.String("dir", "", "folder to write")
	interval := flag.Duration("interval", 300*time.Millisecond, "how often to look")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *namespace, strings.Split(*secrets, ","), *dir, *interval); err != nil {
		fmt.Fprintln(os.Stderr, "mountsecrets:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, namespace string, names []string, dir string, interval time.Duration) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	v := &volume{dir: dir}
	for ctx.Err() == nil {
		files, err := read(ctx, client, namespace, names)
		if err == nil {
			err = v.write(files)
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, "mountsecrets:", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(interval):
		}
	}
	return nil
}

// read merges the keys of the Secrets that exist.
func read(ctx context.Context, client kubernetes.Interface, namespace string, names []string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range names {
		s, err := client.CoreV1().Secrets(namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for k, v := range s.Data {
			files[k] = v
		}
	}
	return files, nil
}
