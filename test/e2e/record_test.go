//go:build linux

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/record"
)

// want describes a record by what is known of the call; what is empty may be anything.
type want struct {
	name     string // eventName
	resource string // plural/name, the end of an ARN
	user     string // userName
	code     string // errorCode
}

func (w want) matches(r *record.Record) bool {
	return (w.name == "" || r.EventName == w.name) &&
		(w.resource == "" || hasResource(r, w.resource)) &&
		(w.user == "" || r.UserIdentity.UserName == w.user) &&
		r.ErrorCode == w.code
}

func hasResource(r *record.Record, end string) bool {
	for _, o := range r.Resources {
		if strings.HasSuffix(o.ARN, "/"+end) || strings.HasSuffix(o.ARN, ":"+end) {
			return true
		}
	}
	return false
}

// waitFor waits until every one of these records is in the bucket.
func (e *environment) waitFor(ctx context.Context, t *testing.T, tr trail, wanted ...want) {
	t.Helper()
	eventually(ctx, t, "records in the bucket", func() string {
		records, err := tr.server(e).records(ctx, tr.bucket(), tr.prefix())
		if err != nil {
			return err.Error()
		}
		for _, w := range wanted {
			found := false
			for i := range records {
				found = found || w.matches(&records[i])
			}
			if !found {
				return fmt.Sprintf("%+v is not among %d records", w, len(records))
			}
		}
		return ""
	})
}
