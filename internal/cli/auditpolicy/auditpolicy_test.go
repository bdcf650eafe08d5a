package auditpolicy

import (
	"testing"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/trail-operator/trail-operator/internal/cli/clitest"
)

func print(t *testing.T, args ...string) *auditv1.Policy {
	t.Helper()
	out, errOut, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command { return NewCommand(s) }, args...)
	if err != nil || errOut != "" {
		t.Fatalf("got the error %v and %q", err, errOut)
	}
	scheme := runtime.NewScheme()
	if err := auditv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	// As kube-apiserver reads it.
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder(auditv1.SchemeGroupVersion)
	var p auditv1.Policy
	if _, _, err := decoder.Decode([]byte(out), nil, &p); err != nil {
		t.Fatal(err)
	}
	return &p
}

func TestProfiles(t *testing.T) {
	standard, minimal := print(t), print(t, "--minimal")
	last := func(p *auditv1.Policy) auditv1.PolicyRule { return p.Rules[len(p.Rules)-1] }
	if r := last(standard); len(r.Verbs) != 0 || r.Level != auditv1.LevelMetadata {
		t.Errorf("the standard policy ends with %v", r)
	}
	if r := last(minimal); len(r.Verbs) == 0 {
		t.Error("the minimal policy records every verb")
	}
}

func TestTakesNoArguments(t *testing.T) {
	if _, _, err := clitest.Run(t, func(s genericiooptions.IOStreams) *cobra.Command { return NewCommand(s) }, "x"); err == nil {
		t.Error("an argument was accepted")
	}
}
