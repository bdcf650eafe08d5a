package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// TestSelection: the selection that was rendered is in force when the receiver
// reports it, and not before; and one that cannot be used is no fault of the bucket.
func TestSelection(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Observation)
		want   map[string]string
	}{
		"in force": {func(o *Observation) { o.Selection, o.Receiver.Trails[0].SelectionSHA256 = "new", "new" }, nil},
		"not in force yet": {
			func(o *Observation) { o.Selection, o.Receiver.Trails[0].SelectionSHA256 = "new", "old" },
			map[string]string{"Ready": "Unknown ConfigurationSent", "Receiving": "Unknown ConfigurationSent", "Reconciling": "True ConfigurationSent"},
		},
		"of a receiver that does not tell": {
			func(o *Observation) { o.Selection = "new" },
			map[string]string{"Ready": "Unknown ConfigurationSent", "Receiving": "Unknown ConfigurationSent", "Reconciling": "True ConfigurationSent"},
		},
		"refused": {
			func(o *Observation) { o.Selection, o.Receiver.ConfigError = "new", "planted" },
			map[string]string{"Ready": "False ConfigurationRefused", "Receiving": "False ConfigurationRefused", "Reconciling": "True ConfigurationSent"},
		},
		"missing, and never rendered": {
			func(o *Observation) {
				o.Rendered = false
				o.Problem = &Problem{Reason: v1alpha1.ReasonEventSelectorNotFound, Message: "m"}
			},
			map[string]string{
				"Ready": "False EventSelectorNotFound", "Receiving": "False EventSelectorNotFound",
				"Delivering": "Unknown Pending", "DigestsCurrent": "Unknown Pending", "Reconciling": "True Retrying",
			},
		},
		"missing, and going on as before": {
			func(o *Observation) {
				o.Selection, o.Receiver.Trails[0].SelectionSHA256 = "old", "old"
				o.Problem = &Problem{Reason: v1alpha1.ReasonEventSelectorNotFound, Message: "m"}
			},
			map[string]string{"Ready": "False EventSelectorNotFound", "Receiving": "False EventSelectorNotFound", "Reconciling": "True Retrying"},
		},
		"invalid": {
			func(o *Observation) {
				o.Problem = &Problem{Reason: v1alpha1.ReasonEventSelectorInvalid, Message: "m", Stalled: true}
			},
			map[string]string{"Ready": "False EventSelectorInvalid", "Receiving": "False EventSelectorInvalid", "Stalled": "True EventSelectorInvalid"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := recording()
			tc.change(&o)
			want := map[string]string{
				"Ready": "True Recording", "BucketReady": "True PrefixClaimed", "Receiving": "True ConfigurationInForce",
				"Delivering": "True Delivered", "DigestsCurrent": "True DigestDelivered",
			}
			for k, v := range tc.want {
				want[k] = v
			}
			s := Of(o)
			if d := cmp.Diff(want, summary(s)); d != "" {
				t.Error(d)
			}
			checkConditions(t, s, o.Trail.Generation)
		})
	}
}
