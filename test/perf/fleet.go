package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/manifests"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// mountInterval is how often the receiver's folder follows its Secrets. A
// kubelet takes up to two minutes, which would hide what the manager takes.
const mountInterval = time.Second

// startReceiver starts a receiver with what the manager has rendered, and sends
// it one POST as an API server would: trails are ready once one has.
func (f *fleet) startReceiver(ctx context.Context) error {
	in := &testenv.Installation{Dir: filepath.Join(f.dir, "config")}
	var secret corev1.Secret
	for deadline := time.Now().Add(time.Minute); ; {
		err := f.admin.Get(ctx, client.ObjectKey{Namespace: operator, Name: manifests.APIServerCertName(testenv.APIServer)}, &secret)
		if err == nil {
			if err = f.mount(ctx, in.Dir); err == nil {
				break
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the manager does not make an installation: %w", err)
		}
		if err := sleep(ctx, mountInterval/10); err != nil {
			return err
		}
	}
	go func() {
		for sleep(ctx, mountInterval) == nil {
			_ = f.mount(ctx, in.Dir) // tried again soon
		}
	}()
	var err error
	if f.receiver, err = in.StartReceiver(f.options.receiver, filepath.Join(f.dir, "data"), filepath.Join(f.dir, "receiver.log"), f.address); err != nil {
		return err
	}
	ca, pair := manifests.ReadCertificate(&secret)
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	apiServer := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, Certificates: []tls.Certificate{cert}},
	}}
	url := fmt.Sprintf("https://%s/v1/audit/%s/%s", f.address, testenv.Account, testenv.APIServer)
	body := testenv.NewEvents(7).List(nil, 1)
	for deadline := time.Now().Add(time.Minute); ; {
		if err = post(ctx, apiServer, url, bytes.NewReader(body)); err == nil || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, mountInterval/10); err != nil {
			return err
		}
	}
}

// mount writes the receiver's configuration folder. What is read while the
// manager writes does not fit together, and the receiver waits for the rest.
func (f *fleet) mount(ctx context.Context, dir string) error {
	var list corev1.SecretList
	if err := f.admin.List(ctx, &list, client.InNamespace(operator), client.MatchingLabels{manifests.ReceiverConfigLabel: "true"}); err != nil {
		return err
	}
	files := map[string][]byte{}
	for i := range list.Items {
		maps.Copy(files, list.Items[i].Data)
	}
	config := files[receiverconfig.FileConfig]
	if config == nil {
		return errors.New("there is no configuration of the receiver yet")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	delete(files, receiverconfig.FileConfig)
	for name, content := range files {
		path := filepath.Join(dir, name)
		if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
			continue
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	// Last, because it names the others.
	path := filepath.Join(dir, receiverconfig.FileConfig)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, config) {
		return nil
	}
	if err := os.WriteFile(path+".new", config, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// call names one request of the API server's log: its verb and resource.
func call(line []byte) string {
	var e struct {
		Verb      string
		ObjectRef *struct{ Resource, Subresource string }
	}
	if json.Unmarshal(line, &e) != nil || e.ObjectRef == nil {
		return e.Verb + " others"
	}
	name := e.Verb + " " + e.ObjectRef.Resource
	if e.ObjectRef.Subresource != "" {
		name += "/" + e.ObjectRef.Subresource
	}
	return name
}
