package validation

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/validation"
)

// TestWebhookRefuses: an admission webhook that denies without a code answers 400.
func TestWebhookRefuses(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	w.refuse = &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusBadRequest, Message: `admission webhook "x" denied the request: no`,
	}}
	w.step(0)
	if v := w.get("shop").Status.LastValidation; v == nil || v.Cause != string(validation.CauseForbidden) {
		t.Errorf("%+v", v)
	}
}

// TestOften: neither a trail whose settings change all the time nor an API server
// that is in trouble has it tried more than once a minute.
func TestOften(t *testing.T) {
	w := newWorld(t, audit("shop", "u1"))
	for i := range 60 {
		w.step(time.Second)
		w.change("shop", func(tr *v1alpha1.Trail) { tr.Spec.LogFileValidation.LookbackDays = int32(i + 1) })
	}
	if w.jobs > 2 {
		t.Errorf("%d Jobs were made in a minute", w.jobs)
	}
	w = newWorld(t, audit("shop", "u1"))
	n := 0
	w.refuse = fmt.Errorf("%w", errors.New("away"))
	for range 60 {
		w.step(time.Second)
		if _, ok := w.tried["u1"]; ok && w.tried["u1"].Equal(w.clock.Now().UTC()) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it was tried %d times in a minute", n)
	}
}
