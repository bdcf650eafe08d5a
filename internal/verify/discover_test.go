package verify

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/internal/record"
)

func TestDiscover(t *testing.T) {
	f := newFixture(t)
	organization := record.Layout{Organization: "o-abcdefghij", Account: "000000000001", Region: "eu-lab-2"}
	for _, key := range []string{
		organization.Digest("all", at("10:00:00")), organization.Digest("all", at("11:00:00")),
		organization.LogFile(at("10:00:00"), "0000000000000000"), "AWSLogs/CloudTrail-Digest/x.json.gz",
	} {
		f.Put(t, key, []byte("x"), nil)
	}
	got, err := Discover(context.Background(), open(t, f.download(t)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Target{{organization, "all"}, {f.Layout, f.Name}}, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseTarget(f *testing.F) {
	fx := emptyFixture(f)
	f.Add(fx.Layout.Digest(fx.Name, at("10:00:00")))
	f.Add("AWSLogs/o-abcdefghij/000000000001/CloudTrail-Digest/x")
	f.Fuzz(func(t *testing.T, key string) {
		if target, ok := ParseTarget(key); ok && target.Layout.Account == "" {
			t.Errorf("%q has no account", key)
		}
	})
}
