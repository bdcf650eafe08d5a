package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	recorder "github.com/trail-operator/trail-operator/internal/recorder/tail"
)

// Webhook is the file for --audit-webhook-config-file of APIServer.
func (in *Installation) Webhook(receiver string) ([]byte, error) {
	pair, err := in.ca.IssueClient(time.Now(), Account+":"+APIServer, receiverconfig.AuditOrganization)
	if err != nil {
		return nil, err
	}
	return auditpolicy.Webhook{
		URL: "https://" + receiver, Account: Account, APIServer: APIServer, CA: in.ca.Cert, Cert: pair.Cert, Key: pair.Key,
	}.Kubeconfig()
}

// Tail is a tail that runs, or will run again with the same state.
type Tail struct {
	Log     string // path of what it says
	Metrics string // host:port

	binary, auditLog, dir string
	process               *process
}

// NewTail prepares a tail of an audit log: dir gets its state and how it reaches
// the receiver at an address, with a token.
func (in *Installation) NewTail(binary, dir, auditLog, receiver, token string) (*Tail, error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, err
	}
	t := &Tail{
		Log: filepath.Join(dir, "tail.log"), Metrics: "127.0.0.1:" + strconv.Itoa(ports[0]),
		binary: binary, auditLog: auditLog, dir: dir,
	}
	folder := filepath.Join(dir, "receiver")
	err = os.MkdirAll(folder, 0o700)
	for name, content := range map[string]string{
		recorder.FileURL: "https://" + receiver, recorder.FileAccount: Account, recorder.FileCA: string(in.ca.Cert), recorder.FileToken: token,
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600))
	}
	return t, err
}

// Start starts it. flags are added to its command line.
func (t *Tail) Start(flags ...string) (err error) {
	t.process, err = startProcess(t.binary, t.Log, append([]string{
		"tail", "--audit-log", t.auditLog, "--state-dir", filepath.Join(t.dir, "state"),
		"--receiver-dir", filepath.Join(t.dir, "receiver"), "--apiserver", APIServer, "--metrics-listen", t.Metrics,
	}, flags...)...)
	return err
}

// Kill ends it with SIGKILL and waits.
func (t *Tail) Kill() {
	_ = t.process.cmd.Process.Kill()
	<-t.process.done
}

// PID is that of the tail that was started last.
func (t *Tail) PID() int { return t.process.cmd.Process.Pid }

// Stop asks it to end, and waits.
func (t *Tail) Stop() error { return t.process.stop(20 * time.Second) }
