// Package doctor is the command that follows the chain from kube-apiserver to
// the bucket, link by link, and says what to do about each that is broken.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/table"
	"github.com/trail-operator/trail-operator/internal/manifests"
)

const long = `Follow the chain from kube-apiserver to the buckets, link by link: the kinds,
the manager, the receiver and its address, the webhook, certificates, the flags
of each kube-apiserver, events that arrive and are forwarded, clocks, the audit
policy, and every trail. Each link is one line, and what is not well has its next
step below it.

Nothing is changed. What you may not read is reported as unchecked, with the
permission that it takes, and is no problem.

Exit codes: 0 no problem was found; 1 there are problems; 2 the check could not be
carried out.`

const example = `  # Is everything well?
  kubectl trail doctor

  # For a program: every finding, also of every trail
  kubectl trail doctor -o json | jq '.findings[] | select(.state == "problem")'`

// requestTimeout is for one request: a check should not hang at a link that does.
const requestTimeout = 15 * time.Second

type options struct {
	cluster kube.Cluster
	streams genericiooptions.IOStreams
	clock   clock.PassiveClock

	operatorNamespace string
	output            string
}

// NewCommand returns the command.
func NewCommand(cluster kube.Cluster, streams genericiooptions.IOStreams, c clock.PassiveClock) *cobra.Command {
	o := &options{cluster: cluster, streams: streams, clock: c}
	cmd := &cobra.Command{
		Use:               "doctor",
		Short:             "Check the whole chain, from kube-apiserver to the buckets",
		Long:              long,
		Example:           example,
		ValidArgsFunction: cobra.NoFileCompletions,
		Args:              o.args,
		RunE:              func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "json, or nothing for lines that people read")
	f.StringVar(&o.operatorNamespace, "operator-namespace", kube.OperatorNamespace, "namespace that the operator is installed in")
	_ = cmd.RegisterFlagCompletionFunc("operator-namespace", kube.CompleteNamespace(cluster))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *options) args(_ *cobra.Command, args []string) error {
	switch {
	case len(args) > 0:
		return errors.New("doctor takes no arguments; for one trail see `kubectl trail status TRAIL`")
	case o.output != "" && o.output != "json":
		return fmt.Errorf("the output format %q is not known; use json", o.output)
	case len(validation.IsDNS1123Label(o.operatorNamespace)) > 0:
		return fmt.Errorf("--operator-namespace %q is not the name of a namespace", o.operatorNamespace)
	}
	return nil
}

// doctor looks at one cluster. What several links need is read once.
type doctor struct {
	client    client.Client
	server    kube.Server
	namespace string // of the installation
	chosen    string // of the user
	now       time.Time

	// What the manager has written down, or why it could not be read.
	installation    corev1.ConfigMap
	installationErr error
	published       corev1.ConfigMap
	publishedErr    error
	report          *manifests.ReceiverReport // of published; nil when there is none

	// failed is the first answer that was neither yes, no nor "you may not".
	failed error
}

func (o *options) run(ctx context.Context) error {
	d := &doctor{namespace: o.operatorNamespace, now: o.clock.Now()}
	var err error
	if d.client, err = o.cluster.Client(); err != nil {
		return err
	}
	if d.server, err = o.cluster.Server(); err != nil {
		return err
	}
	if d.chosen, err = o.cluster.Namespace(); err != nil {
		return err
	}
	findings, err := d.examine(ctx, o.clock)
	if err != nil {
		return err
	}
	if o.output == "json" {
		encoder := json.NewEncoder(o.streams.Out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		err = encoder.Encode(report{OK: count(findings, Problem) == 0, Findings: findings})
	} else {
		err = write(o.streams.Out, findings, table.Colors(o.streams.Out))
	}
	switch n := count(findings, Problem); {
	case err != nil:
		return err
	case n > 0:
		return no{n}
	}
	return d.failed
}

// examine goes along the chain. The error says that it could not begin.
func (d *doctor) examine(ctx context.Context, local clock.PassiveClock) ([]Finding, error) {
	first, err := d.reach(ctx, local)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	d.read(ctx)
	for _, link := range []func(context.Context) []Finding{
		d.kinds, d.manager, d.receiver, d.address, d.webhook, d.certificates, d.apiServers, d.events, d.forwarding,
		func(context.Context) []Finding { return d.clocks(first) }, d.examineTrails,
	} {
		findings = append(findings, link(ctx)...)
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
	}
	return findings, nil
}

// read reads what several links need.
func (d *doctor) read(ctx context.Context) {
	d.installationErr = d.get(ctx, d.namespace, manifests.InstallationName, &d.installation)
	d.publishedErr = d.get(ctx, d.namespace, manifests.ReceiverReportName, &d.published)
	if d.publishedErr == nil {
		d.report = manifests.ReadReceiverReport(&d.published)
	}
}

func (d *doctor) get(ctx context.Context, namespace, name string, into client.Object) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return d.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
}

// unread is the finding for what could not be read: the permission that it
// takes, or why the request failed. Other failures than a missing permission
// are those of the whole check.
func (d *doctor) unread(err error, link, subject, resource, namespace string) Finding {
	verb, where := "get", ""
	if subject == "" {
		verb = "list"
	}
	if namespace != "" {
		where = fmt.Sprintf(" in namespace %q", namespace)
	}
	if apierrors.IsForbidden(err) {
		return Finding{State: Unchecked, Link: link, Subject: subject, Message: fmt.Sprintf("needs %s on %s%s", verb, resource, where)}
	}
	explained := kube.Request{Verb: verb, Resource: resource, Namespace: namespace, Name: subject}.Explain(err)
	if d.failed == nil {
		d.failed = explained
	}
	return Finding{State: Unchecked, Link: link, Subject: subject, Message: explained.Error()}
}

// ago is the age of a time in words.
func (d *doctor) ago(t time.Time) string { return age(d.now.Sub(t)) + " ago" }

func age(d time.Duration) string { return duration.HumanDuration(max(0, d)) }
