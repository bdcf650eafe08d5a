package awscli

import (
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// TestOrganizationTrail: the AWS CLI and our verifier validate the trail of a
// whole cluster. With an organization ID in the keys, the AWS CLI asks for the
// account and learns the ID from Organizations; without, it takes the trail for
// any other.
func TestOrganizationTrail(t *testing.T) {
	clis := installed(t)
	store := backends(t)[1]
	for name, tc := range map[string]struct {
		bucket, organization string
		account              string
	}{
		"of an organization": {"of-an-organization", "o-0123456789", "123456789012"},
		"of none":            {"of-no-organization", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := fill(t, store.open(t, tc.bucket), func(b *bucket) *verifytest.Trail {
				return verifytest.NewOrganization(t, b.store, tc.bucket, tc.organization, b.start)
			})
			b.serve(t)
			b.wantFindings(t)
			for _, c := range clis {
				t.Run(c.Version, func(t *testing.T) { c.wantValid(t, b, tc.account) })
			}
			b.remove(t, b.Files[4])
			b.wantFindings(t, "LogFileMissing "+b.Files[4])
			for _, c := range clis {
				t.Run(c.Version+" with a file missing", func(t *testing.T) {
					if out, exit := c.validate(t, b, tc.account); exit != 1 || !strings.Contains(out, uri(b, b.Files[4])+"\tINVALID: not found") {
						t.Errorf("exit code %d\n%s", exit, out)
					}
				})
			}
			if tc.organization == "" {
				return
			}
			for _, c := range clis {
				t.Run(c.Version+" without the account", func(t *testing.T) {
					if out, exit := c.validate(t, b, ""); exit == 0 || !strings.Contains(out, "--account-id") {
						t.Errorf("exit code %d\n%s", exit, out)
					}
				})
			}
		})
	}
}

func (c awsCLI) wantValid(t *testing.T, b *bucket, account string) {
	t.Helper()
	out, exit := c.validate(t, b, account)
	if exit != 0 || !strings.Contains(out, "6/6 digest files valid") || !strings.Contains(out, "11/11 log files valid") {
		t.Errorf("exit code %d\n%s", exit, out)
	}
}
