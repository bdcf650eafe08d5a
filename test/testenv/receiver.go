package testenv

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/signing"
)

// Installation is a receiver's configuration without a manager: a folder that
// can be written again and again, and the certificates of its clients.
type Installation struct {
	Dir    string
	Config receiverconfig.Config
	Trails []receiverconfig.Trail
	Key    *signing.PrivateKey
	// Flags are added to the receiver's command line.
	Flags []string

	ca, server pki.KeyPair
}

// Names of the one cluster and API server of an Installation.
const (
	Account   = "123456789012"
	Region    = "test-1"
	APIServer = "api-1"
)

// NewInstallation makes keys and certificates for a receiver on 127.0.0.1.
func NewInstallation(dir string) (*Installation, error) {
	now := time.Now()
	ca, err := pki.NewCA("test intake", now)
	if err != nil {
		return nil, err
	}
	server, err := ca.IssueServer(now, "127.0.0.1", "localhost")
	if err != nil {
		return nil, err
	}
	key, err := signing.Generate()
	if err != nil {
		return nil, err
	}
	return &Installation{Dir: dir, Key: key, ca: ca, server: server, Config: receiverconfig.Config{
		Version:      receiverconfig.Version,
		Installation: receiverconfig.Installation{UID: "00000000-0000-4000-8000-000000000001", Account: Account, Region: Region},
	}}, nil
}

// Write renders the folder as the manager does, with a new generation.
func (in *Installation) Write() error {
	in.Config.Generation++
	files := map[string][]byte{
		receiverconfig.FileServerCert: in.server.Cert, receiverconfig.FileServerKey: in.server.Key,
		receiverconfig.FileClientCA: in.ca.Cert, receiverconfig.FileSigningKey: in.Key.PEM(),
	}
	for i := range in.Trails {
		files[receiverconfig.TrailFile(in.Trails[i].UID)] = record.MustJSON(in.Trails[i])
	}
	in.Config.Files = map[string]string{}
	for name, b := range files {
		in.Config.Files[name] = record.HexSHA256(b)
	}
	raw, err := json.Marshal(in.Config)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(in.Dir, 0o700); err != nil {
		return err
	}
	files[receiverconfig.FileConfig] = raw
	for name, b := range files {
		path := filepath.Join(in.Dir, name)
		if err := os.WriteFile(path+".new", b, 0o600); err != nil {
			return err
		}
		if err := os.Rename(path+".new", path); err != nil {
			return err
		}
	}
	return nil
}

// APIServerClient is an HTTP client with the certificate of APIServer;
// ManagerClient one with that of the manager.
func (in *Installation) APIServerClient() (*http.Client, error) {
	return in.Client(Account+":"+APIServer, receiverconfig.AuditOrganization)
}

// ManagerClient is an HTTP client with the manager's certificate.
func (in *Installation) ManagerClient() (*http.Client, error) {
	return in.Client(receiverconfig.ManagerCommonName)
}

// Client is an HTTP client with a certificate of the installation's CA.
func (in *Installation) Client(commonName string, organizations ...string) (*http.Client, error) {
	pair, err := in.ca.IssueClient(time.Now(), commonName, organizations...)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(in.ca.Cert) {
		return nil, errors.New("the CA is not PEM")
	}
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}, RootCAs: roots},
	}}, nil
}

// Receiver is a running receiver.
type Receiver struct {
	Address string // host:port
	Log     string // path
	process *process
}

// StartReceiver starts the receiver's binary with the configuration folder of
// in and data in dataDir. env is added to its environment.
func (in *Installation) StartReceiver(binary, dataDir, log, address string, env ...string) (*Receiver, error) {
	if address == "" {
		ports, err := freePorts(1)
		if err != nil {
			return nil, err
		}
		address = fmt.Sprintf("127.0.0.1:%d", ports[0])
	}
	args := append(slices.Clone(env), binary,
		"--config-dir", in.Dir, "--data-dir", dataDir, "--listen", address, "--metrics-listen", "127.0.0.1:0")
	p, err := startProcess("/usr/bin/env", log, append(args, in.Flags...)...)
	if err != nil {
		return nil, err
	}
	return &Receiver{Address: address, Log: log, process: p}, nil
}

// Stop ends the receiver as a node does: SIGTERM, then SIGKILL.
func (r *Receiver) Stop() error { return r.process.stop(20 * time.Second) }

// Kill ends it with SIGKILL and waits.
func (r *Receiver) Kill() {
	_ = r.process.cmd.Process.Kill()
	<-r.process.done
}

// Done is closed when the receiver has ended.
func (r *Receiver) Done() <-chan struct{} { return r.process.done }

// Killed tells, when Done is closed, whether it was ended by SIGKILL: by Kill,
// or by itself at a failpoint.
func (r *Receiver) Killed() bool {
	status, ok := r.process.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// Exited is, when Done is closed, the code that the receiver has ended with; -1
// when it was killed.
func (r *Receiver) Exited() int { return r.process.cmd.ProcessState.ExitCode() }

// PID is that of the receiver: env replaces itself by it.
func (r *Receiver) PID() int { return r.process.cmd.Process.Pid }
