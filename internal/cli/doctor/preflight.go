package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/staticpod"
	"github.com/trail-operator/trail-operator/internal/cli/table"
)

const preflightLong = `Check the files for a kube-apiserver before they are put in place: with a broken
one it does not start.

The policy is decoded strictly and validated with kube-apiserver's own code. The
webhook's kubeconfig is loaded as kube-apiserver loads it; its certificate must
fit its key, come from the CA in it, be valid now and be that of the API server
in its address. Then the receiver is called with it, from here: run this on the
node of the control plane. With --manifest the flags and mounts of a static pod
are checked, too.

If the cluster may be asked, the address is compared with that of the
installation. --offline asks nobody.

Exit codes: 0 no problem was found; 1 there are problems; 2 the check could not be
carried out.`

const preflightExample = `  # On a node of the control plane, before kube-apiserver is told to use them
  kubectl trail preflight --policy-file /etc/kubernetes/audit/policy.yaml \
    --webhook-file /etc/kubernetes/audit/webhook.kubeconfig

  # The changed manifest of a static pod, before it is moved into place
  kubectl trail preflight --policy-file /etc/kubernetes/audit/policy.yaml \
    --webhook-file /etc/kubernetes/audit/webhook.kubeconfig --manifest /root/kube-apiserver.yaml`

const (
	// maxFile bounds what is read of a file; policies and kubeconfigs are small.
	maxFile = 1 << 20
	// dialTimeout is for the call to the receiver.
	dialTimeout = 10 * time.Second
)

type preflight struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock

	policyFile, webhookFile, manifest string
	operatorNamespace                 string
	offline                           bool
}

// NewPreflightCommand returns the command that checks files before
// kube-apiserver reads them.
func NewPreflightCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &preflight{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use:     "preflight --policy-file FILE --webhook-file FILE [--manifest FILE]",
		Short:   "Check the files for a kube-apiserver before they are put in place",
		Long:    preflightLong,
		Example: preflightExample,
		Args:    o.args,
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.policyFile, "policy-file", "", "audit policy, for --audit-policy-file")
	f.StringVar(&o.webhookFile, "webhook-file", "", "kubeconfig of the webhook, for --audit-webhook-config-file")
	f.StringVar(&o.manifest, "manifest", "", "manifest of kube-apiserver's static pod")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	f.BoolVar(&o.offline, "offline", false, "ask neither the cluster nor the receiver")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	return cmd
}

func (o *preflight) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 0:
		return errors.New("preflight takes no arguments; name the files with --policy-file, --webhook-file and --manifest")
	case o.policyFile == "" && o.webhookFile == "" && o.manifest == "":
		return errors.New("there is nothing to check: name files with --policy-file, --webhook-file and --manifest")
	case len(validation.IsDNS1123Label(o.operatorNamespace)) > 0:
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	}
	return nil
}

func (o *preflight) run(ctx context.Context) error {
	var findings []Finding
	if o.policyFile != "" {
		findings = append(findings, checkPolicy(o.policyFile))
	}
	if o.webhookFile != "" {
		w, found := loadWebhook(o.webhookFile, o.clock.Now())
		findings = append(findings, found...)
		if w != nil && !o.offline {
			findings = append(findings, o.compare(ctx, w))
			findings = append(findings, w.call(ctx))
		}
	}
	if o.manifest != "" {
		findings = append(findings, o.checkManifest()...)
	}
	if err := write(o.streams.Out, findings, table.Colors(o.streams.Out)); err != nil {
		return err
	}
	if n := count(findings, Problem); n > 0 {
		return no{n}
	}
	return nil
}

// readFile reads a small file. The error is a sentence.
func readFile(path string) ([]byte, os.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return nil, 0, fmt.Errorf("it cannot be read: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.IsDir() {
		return nil, 0, errors.New("it is no file")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, 0, errors.New("it cannot be read to its end")
	case len(b) > maxFile:
		return nil, 0, errors.New("it is larger than 1 MiB")
	}
	return b, info.Mode(), nil
}

// compare says whether the address in the file is that of the installation.
func (o *preflight) compare(ctx context.Context, w *webhookFile) Finding {
	f := Finding{State: Unchecked, Link: linkAddress}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	cl, err := o.cluster.Client()
	if err != nil {
		f.Message = err.Error()
		return f
	}
	in, err := kube.ReadInstallation(ctx, cl, o.operatorNamespace)
	if err != nil {
		f.Message = kube.Request{Verb: "get", Resource: "configmaps", Namespace: o.operatorNamespace, Name: "trail-installation"}.Explain(err).Error()
		return f
	}
	f.State, f.Next = Problem, "print the file anew with `kubectl trail webhook-config --apiserver "+w.apiServer+"`"
	u, err := url.Parse(in.ReceiverURL)
	switch {
	case err != nil || u.Host != w.url.Host:
		f.Message = fmt.Sprintf("the file posts to %s, the receiver of this installation is at %s", w.url.Host, strings.TrimPrefix(in.ReceiverURL, "https://"))
	case in.Account != w.account:
		f.Message = fmt.Sprintf("the file is for the account %s, this installation is the account %s", w.account, in.Account)
	default:
		return Finding{State: OK, Link: linkAddress, Message: "the file posts to the receiver of this installation"}
	}
	return f
}

// checkManifest checks a static pod that is not in place yet.
func (o *preflight) checkManifest() []Finding {
	const link = "manifest"
	broken := func(format string, args ...any) []Finding {
		return []Finding{{
			State: Problem, Link: link, Message: fmt.Sprintf(format, args...),
			Next: "correct it, and leave the one that is in place as it is",
		}}
	}
	b, _, err := readFile(o.manifest)
	if err != nil {
		return broken("%v", err)
	}
	var pod corev1.Pod
	if err := yaml.UnmarshalStrict(b, &pod); err != nil {
		return broken("it is no manifest of a pod: %s", oneLine(err))
	}
	audit := staticpod.Of(&pod.Spec)
	if pod.Kind != "Pod" || audit == nil {
		return broken("it is not the manifest of kube-apiserver")
	}
	var findings []Finding
	if len(audit.Broken) > 0 {
		findings = broken("%s", strings.Join(audit.Broken, "; "))
	}
	for _, f := range []struct{ flag, seen, given string }{
		{"audit-policy-file", audit.Policy, o.policyFile}, {"audit-webhook-config-file", audit.Webhook, o.webhookFile},
	} {
		at := staticpod.HostPath(&pod.Spec, f.seen)
		if f.given != "" && f.seen != "" && at != "" && at != f.given {
			findings = append(findings, Finding{
				State: Warning, Link: link, Message: fmt.Sprintf("--%s leads to %s on the node, and %s was checked", f.flag, at, f.given),
				Next: "check the file that kube-apiserver will read",
			})
		}
	}
	if len(audit.Differences) > 0 {
		findings = append(findings, Finding{
			State: Warning, Link: link, Message: strings.Join(audit.Differences, "; "),
			Next: "set the flags as `kubectl trail webhook-config --apiserver NAME --flags` prints them",
		})
	}
	if len(findings) == 0 {
		findings = []Finding{{State: OK, Link: link, Message: "the flags are as asked for, and their files are mounted"}}
	}
	return findings
}

// oneLine bounds the text of an error that repeats what stands in a file.
func oneLine(err error) string {
	const limit = 300
	s := strings.Join(strings.Fields(err.Error()), " ")
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
