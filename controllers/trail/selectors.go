package trail

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/selector"
	"github.com/trail-operator/trail-operator/internal/status"
)

// +kubebuilder:rbac:groups=trail-operator.io,resources=eventselectors,verbs=get;list;watch

// selectEvents finds the selection that the trail runs with. One that recorded
// before keeps its last selection when there is none now: it must neither go
// blind nor record what it was not asked for because an EventSelector went.
func (s *scope) selectEvents(ctx context.Context) error {
	present, err := s.eventSelectors(ctx)
	if err != nil {
		return err
	}
	s.selection, err = selector.Effective(s.trail, s.homeNamespace(), present)
	if err != nil {
		if err := s.proceed(s.selectionProblem(err)); err != nil {
			return err
		}
		s.selection = s.rendered.Selection
	}
	s.seen.Selection = receiverconfig.SelectionSHA256(s.selection)
	s.seen.Classes = selector.Classes(s.selection)
	return nil
}

func (s *scope) selectionProblem(err error) *status.Problem {
	p := &status.Problem{Reason: v1alpha1.ReasonEventSelectorInvalid, Message: "The selection of events cannot be used: " + err.Error(), Stalled: true}
	var missing *selector.NotFoundError
	if errors.As(err, &missing) { // it may come with the next apply
		p = &status.Problem{Reason: v1alpha1.ReasonEventSelectorNotFound, Message: err.Error()}
	}
	if s.rendered != nil {
		p.Message += " Until then the trail goes on with the selection that it had."
	}
	return p
}

// eventSelectors reads those that the trail refers to, from the cache.
func (s *scope) eventSelectors(ctx context.Context) ([]v1alpha1.EventSelector, error) {
	if by := s.trail.Spec.EventSelectorLabels; by != nil {
		chosen, err := metav1.LabelSelectorAsSelector(by)
		if err != nil {
			return nil, nil //nolint:nilerr // selector.Effective says what is wrong with it
		}
		var list v1alpha1.EventSelectorList
		err = s.Client.List(ctx, &list, client.InNamespace(s.homeNamespace()), client.MatchingLabelsSelector{Selector: chosen})
		return list.Items, err
	}
	var present []v1alpha1.EventSelector
	for _, ref := range s.trail.Spec.EventSelectorRefs {
		var e v1alpha1.EventSelector
		switch err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.homeNamespace(), Name: ref.Name}, &e); {
		case err == nil:
			present = append(present, e)
		case !apierrors.IsNotFound(err):
			return nil, err
		}
	}
	return present, nil
}

// selectionChanged lets those changes of an EventSelector through that may
// change what trails select.
var selectionChanged = predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{})

// referrers enqueues the trails that refer to an EventSelector, by the labels
// that it had and by those that it has.
func (r *Reconciler) referrers() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []ctrl.Request {
		e, ok := o.(*v1alpha1.EventSelector)
		if !ok {
			return nil
		}
		all, err := r.Kind.List(ctx, r.Client)
		if err != nil {
			logf.FromContext(ctx).Error(err, "Cannot list the trails that may refer to an EventSelector", "eventSelector", client.ObjectKeyFromObject(e))
			return nil
		}
		var requests []ctrl.Request
		for _, t := range all {
			if r.homeOf(t) == e.Namespace && t.RefersTo(e) {
				requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(t)})
			}
		}
		return requests
	})
}

// selectionDetails is what PutEventSelectors says: the parameters of
// CloudTrail's call of that name.
type selectionDetails struct {
	TrailName              string                           `json:"trailName"`
	TrailARN               string                           `json:"trailARN"`
	EventSelectors         []v1alpha1.BasicEventSelector    `json:"eventSelectors,omitempty"`
	AdvancedEventSelectors []v1alpha1.AdvancedEventSelector `json:"advancedEventSelectors,omitempty"`
}

// announceSelection records a change of what the trail selects, wherever it was
// made, once the receiver has put it in force. A new trail begins with all
// management events.
func (s *scope) announceSelection(ctx context.Context) error {
	t := s.trail
	if t.Spec.Suspend || !s.seen.InForce() {
		return nil
	}
	recorded := v1alpha1.RecordedSelection{SHA256: receiverconfig.SelectionSHA256((&v1alpha1.Trail{}).Selection())}
	if t.Status.RecordedSelection != nil {
		recorded = *t.Status.RecordedSelection
	}
	if recorded.SHA256 == s.seen.Selection {
		return nil
	}
	recorded.SHA256, recorded.Changes = s.seen.Selection, recorded.Changes+1
	if err := s.Receiver.Record(ctx, record.OwnEvent{
		// Numbered, or going back to an earlier selection would not be recorded.
		ID:   fmt.Sprintf("%s/%s/%d/%s", t.UID, record.EventPutEventSelectors, recorded.Changes, recorded.SHA256),
		Name: record.EventPutEventSelectors, Time: s.Clock.Now().UTC(),
		Trails: []string{string(t.UID)}, TrailARN: s.seen.ARN,
		Details: record.MustJSON(selectionDetails{
			TrailName: t.CloudTrailName(), TrailARN: s.seen.ARN,
			EventSelectors: s.selection.Basic, AdvancedEventSelectors: s.selection.Advanced,
		}),
	}); err != nil {
		return fmt.Errorf("%w to record %s: %w", errReceiver, record.EventPutEventSelectors, err)
	}
	t.Status.RecordedSelection = &recorded
	return nil
}
