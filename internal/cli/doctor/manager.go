package doctor

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/trail-operator/trail-operator/internal/manifests"
)

const (
	linkManager = "manager"
	// managerName is the manager's Deployment, in the chart and in config.
	managerName = "trail-manager"
)

// reportLate is the age at which the manager's report, written once a minute,
// is of no use any more.
const reportLate = 3 * time.Minute

func (d *doctor) kubectl(format string, args ...any) string {
	return "kubectl -n " + d.namespace + " " + fmt.Sprintf(format, args...)
}

// manager: it runs, leads, and writes down what it sees.
func (d *doctor) manager(ctx context.Context) []Finding {
	if f := d.deployment(ctx); f != nil {
		return []Finding{*f}
	}
	lease := &coordinationv1.Lease{}
	err := d.get(ctx, d.namespace, manifests.LeaseName, lease)
	switch {
	case apierrors.IsNotFound(err):
		return []Finding{{State: Problem, Link: linkManager, Message: "no manager has ever led", Next: d.kubectl("logs deployment/%s", managerName)}}
	case err != nil:
		return []Finding{d.unread(err, linkManager, manifests.LeaseName, "leases.coordination.k8s.io", d.namespace)}
	case !d.led(lease):
		return []Finding{{
			State: Problem, Link: linkManager, Message: "no manager leads: the Lease " + manifests.LeaseName + " was not renewed",
			Next: d.kubectl("logs deployment/%s", managerName),
		}}
	}
	fine := Finding{State: OK, Link: linkManager, Message: fmt.Sprintf("%s leads, renewed %s", *lease.Spec.HolderIdentity, d.ago(lease.Spec.RenewTime.Time))}
	if f := d.writes(); f != nil {
		return []Finding{fine, *f}
	}
	return []Finding{fine}
}

// deployment says what is wrong with the manager's Deployment, nil when nothing is.
func (d *doctor) deployment(ctx context.Context) *Finding {
	var deployment appsv1.Deployment
	err := d.get(ctx, d.namespace, managerName, &deployment)
	switch {
	case apierrors.IsNotFound(err):
		return &Finding{
			State: Problem, Link: linkManager, Message: fmt.Sprintf("there is no Deployment %s in namespace %q", managerName, d.namespace),
			Next: "install Trail Operator, or name its namespace with --operator-namespace",
		}
	case apierrors.IsForbidden(err): // the Lease says the same
		return nil
	case err != nil:
		f := d.unread(err, linkManager, managerName, "deployments.apps", d.namespace)
		return &f
	}
	for _, c := range deployment.Status.Conditions {
		if c.Type == appsv1.DeploymentAvailable && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return &Finding{
		State: Problem, Link: linkManager, Message: fmt.Sprintf("the Deployment %s is not available", managerName),
		Next: d.kubectl("describe pods -l app.kubernetes.io/name=%s", managerName),
	}
}

// led reports whether somebody leads now.
func (d *doctor) led(lease *coordinationv1.Lease) bool {
	s := lease.Spec
	if s.HolderIdentity == nil || *s.HolderIdentity == "" || s.RenewTime == nil || s.LeaseDurationSeconds == nil {
		return false
	}
	// Twice, for clocks that differ a little.
	return d.now.Sub(s.RenewTime.Time) <= 2*time.Duration(*s.LeaseDurationSeconds)*time.Second
}

// writes says what of the manager's own descriptions is missing.
func (d *doctor) writes() *Finding {
	switch {
	case apierrors.IsNotFound(d.installationErr):
		return &Finding{
			State: Problem, Link: linkManager, Message: "it has not set up the installation: there is no ConfigMap " + manifests.InstallationName,
			Next: d.kubectl("logs deployment/%s", managerName),
		}
	case apierrors.IsNotFound(d.publishedErr), d.publishedErr == nil && d.report == nil:
		return &Finding{
			State: Warning, Link: linkManager, Message: "it does not tell how it sees the receiver: there is no report in the ConfigMap " + manifests.ReceiverReportName,
			Next: "upgrade the installation with its roles; if that was done: " + d.kubectl("logs deployment/%s", managerName),
		}
	case d.report != nil && d.now.Sub(d.report.Time) > reportLate:
		return &Finding{
			State: Problem, Link: linkManager, Message: fmt.Sprintf("it last told %s how it sees the receiver", d.ago(d.report.Time)),
			Next: d.kubectl("logs deployment/%s", managerName),
		}
	}
	return nil
}

// seen is the manager's report when it may be relied on, else nil.
func (d *doctor) seen() *manifests.ReceiverReport {
	if d.report == nil || d.now.Sub(d.report.Time) > reportLate {
		return nil
	}
	return d.report
}

// noReport is the finding of a link that only the manager's report tells of.
func (d *doctor) noReport(link string) Finding {
	if d.publishedErr != nil && !apierrors.IsNotFound(d.publishedErr) {
		return d.unread(d.publishedErr, link, manifests.ReceiverReportName, "configmaps", d.namespace)
	}
	return Finding{State: Unchecked, Link: link, Message: "the manager does not tell: see above"}
}
