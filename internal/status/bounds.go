package status

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/internal/record"
)

// What the receiver says is bounded before it becomes part of a status: one
// value that the API server refuses would keep all others from being written.

const (
	maxKey  = 1024 // bytes of an object's key, as S3 has it
	maxCode = 128
)

// receiverReasons are those that there is advice for.
var receiverReasons = []string{
	receiverstatus.ReasonNoBucket, receiverstatus.ReasonAccessDenied, receiverstatus.ReasonBadCredentials, receiverstatus.ReasonCertificate,
	receiverstatus.ReasonUnreachable, receiverstatus.ReasonAddress, receiverstatus.ReasonClockSkew, receiverstatus.ReasonThrottled,
	receiverstatus.ReasonEncryptionIgnored, receiverstatus.ReasonRetentionIgnored, receiverstatus.ReasonProtection,
}

// known is the receiver's reason, if it is one that we know.
func known(reason string) string {
	if slices.Contains(receiverReasons, reason) {
		return reason
	}
	return v1alpha1.ReasonDeliveryFailed
}

// plain is an error code: letters, digits and what joins them.
func plain(code string) string {
	code = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._- ", r) {
			return r
		}
		return -1
	}, code[:min(len(code), maxCode)])
	return code
}

// believable reports whether t can be written as the API server reads times.
func believable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 1970 && year <= 9999
}

// fits reports whether all of a head fits into a status. One that does not is
// none of ours, and a part of one would be good for nothing.
func fits(h *record.Head) bool {
	for _, f := range []struct {
		value string
		limit int
	}{
		{h.TrailARN, 512},
		{h.ChainID, 128},
		{h.Bucket, 63},
		{h.Object, maxKey},
		{h.HashValue, 64},
		{h.Signature, 2048},
		{h.EndTime, 32},
		{h.Fingerprint, 64},
		{h.Trust, 64},
	} {
		if len(f.value) > f.limit || !utf8.ValidString(f.value) {
			return false
		}
	}
	return true
}
