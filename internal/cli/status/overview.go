package status

import (
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/table"
)

// overview is one row for each trail.
func overview(trails []v1alpha1.Trail, now time.Time, namespaces, wide bool) table.Table {
	t := table.Table{Header: []string{
		"NAME", "READY", "REASON", "BUCKET", "LAST DELIVERY", "LAST DIGEST", "PENDING", "BYTES/DAY", "AGE",
	}}
	if namespaces {
		t.Header = append([]string{"NAMESPACE"}, t.Header...)
	}
	if wide {
		t.Header = append(t.Header, "PREFIX", "ENDPOINT", "DELIVERED", "DIGEST NUMBER", "ARN")
	}
	for i := range trails {
		row := summary(&trails[i], now)
		if namespaces {
			row = append([]table.Cell{table.Text(trails[i].Namespace)}, row...)
		}
		if wide {
			row = append(row, totals(&trails[i])...)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func summary(t *v1alpha1.Trail, now time.Time) []table.Cell {
	s := &t.Status
	ready := table.Cell{Text: string(metav1.ConditionUnknown), Style: table.Doubtful}
	reason := table.Cell{}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReady); c != nil {
		ready = table.Cell{Text: string(c.Status), Style: style(c)}
		reason = table.Text(c.Reason)
	}
	if t.DeletionTimestamp != nil {
		reason = table.Cell{Text: v1alpha1.ReasonDeleting, Style: table.Doubtful}
	}
	var delivery, digest, pending, perDay string
	if s.LatestDelivery != nil {
		delivery = ago(s.LatestDelivery.Time, now)
	}
	if s.LatestDigest != nil {
		digest = ago(s.LatestDigest.Time, now)
	}
	if s.Counts != nil {
		pending = strconv.FormatInt(s.Counts.Pending, 10)
		perDay = table.Bytes(s.DeliveredBytesPerDay)
	}
	return []table.Cell{
		table.Text(kube.Argument(t)), ready, reason, table.Text(t.Spec.Destination.Bucket),
		table.Text(delivery), table.Text(digest), table.Text(pending), table.Text(perDay),
		table.Text(age(t.CreationTimestamp.Time, now)),
	}
}

func totals(t *v1alpha1.Trail) []table.Cell {
	endpoint := t.Spec.Destination.Endpoint
	if endpoint == "" {
		endpoint = "AWS " + t.Spec.Destination.RegionOrDefault()
	}
	var delivered, number string
	if c := t.Status.Counts; c != nil {
		delivered = strconv.FormatInt(c.Delivered, 10)
	}
	if h := t.Status.Head; h != nil {
		number = strconv.FormatInt(h.Sequence, 10)
	}
	return []table.Cell{
		table.Text(t.Prefix()), table.Text(endpoint), table.Text(delivered), table.Text(number), table.Text(t.Status.TrailARN),
	}
}

func style(c *metav1.Condition) table.Style {
	switch {
	case isFine(c):
		return table.Good
	case c.Status == metav1.ConditionUnknown, c.Type == v1alpha1.ConditionReconciling, c.Type == v1alpha1.ConditionCertificateExpiring:
		return table.Doubtful
	default:
		return table.Bad
	}
}

// isFine: True is as it should be, except where a condition only exists for
// trouble; and what the user has switched off is off.
func isFine(c *metav1.Condition) bool {
	switch {
	case c.Type == v1alpha1.ConditionReconciling, c.Type == v1alpha1.ConditionStalled, c.Type == v1alpha1.ConditionCertificateExpiring:
		return c.Status == metav1.ConditionFalse
	case c.Reason == v1alpha1.ReasonSuspended, c.Reason == v1alpha1.ReasonValidationDisabled:
		return true
	default:
		return c.Status == metav1.ConditionTrue
	}
}

func ago(t *metav1.Time, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	return age(t.Time, now) + " ago"
}

func age(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	// A server whose clock is a little ahead is no reason to show <invalid>.
	return duration.HumanDuration(max(0, now.Sub(t)))
}
