package status

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/cli/kube"
	"github.com/trail-operator/trail-operator/internal/cli/table"
)

// detail writes what the table has no room for: the account of records, and
// the conditions that are not fine.
func (o *options) detail(t *v1alpha1.Trail) error {
	var b strings.Builder
	account(&b, t.Status.Counts)
	if n := t.Status.ExpiredFiles; n > 0 {
		fmt.Fprintf(&b, "Of the expired, %d log files are still kept: mend the bucket, then `kubectl trail redeliver %s`\n", n, kube.CommandLine(t))
	}
	conditions(&b, t, o.clock.Now(), table.Colors(o.streams.Out))
	_, err := io.WriteString(o.streams.Out, b.String())
	return err
}

func account(b *strings.Builder, c *v1alpha1.RecordCounts) {
	if c == nil {
		return
	}
	fmt.Fprintf(b, "\nRecords: %d accepted = %d delivered + %d selected out + %d pending + %d quarantined + %d expired\n",
		c.Accepted, c.Delivered, c.SelectedOut, c.Pending, c.Quarantined, c.Expired)
}

func conditions(b *strings.Builder, t *v1alpha1.Trail, now time.Time, colors bool) {
	if len(t.Status.Conditions) == 0 {
		b.WriteString("\nThe manager has not looked at this trail yet. If that lasts, check that it runs.\n")
		return
	}
	if t.Status.ObservedGeneration < t.Generation {
		fmt.Fprintf(b, "\nThe status speaks of generation %d; the manager has not looked at generation %d yet.\n",
			t.Status.ObservedGeneration, t.Generation)
	}
	for _, same := range troubles(t.Status.Conditions) {
		c := same[0]
		names := make([]string, len(same))
		for i := range same {
			names[i] = same[i].Type
		}
		head := table.Clean(strings.Join(names, ", ") + ": " + string(c.Status))
		fmt.Fprintf(b, "\n%s (%s)", table.Paint(head, style(c), colors), table.Clean(c.Reason))
		if s := age(c.LastTransitionTime.Time, now); s != "" {
			fmt.Fprintf(b, " for %s", s)
		}
		b.WriteString("\n")
		// A message may end in a manifest to apply, which must be fit to be copied:
		// an indented --- separates nothing.
		first, manifest, _ := strings.Cut(c.Message, "\n")
		fmt.Fprintf(b, "  %s\n", table.Clean(first))
		for line := range strings.Lines(manifest) {
			b.WriteString(table.Clean(strings.TrimRight(line, "\r\n")) + "\n")
		}
	}
}

// troubles returns the conditions that are not fine. Those that say the same
// are together: Ready repeats what is wrong with another condition.
func troubles(conditions []metav1.Condition) [][]*metav1.Condition {
	var all [][]*metav1.Condition
	for i := range conditions {
		c := &conditions[i]
		if isFine(c) {
			continue
		}
		j := slices.IndexFunc(all, func(same []*metav1.Condition) bool {
			return same[0].Status == c.Status && same[0].Reason == c.Reason && same[0].Message == c.Message
		})
		if j < 0 {
			all = append(all, nil)
			j = len(all) - 1
		}
		all[j] = append(all[j], c)
	}
	return all
}
