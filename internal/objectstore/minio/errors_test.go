package minio_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// secret stands in every answer and must not come out.
const secret = "quoted-by-the-server"

func answer(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("x-minio-error-desc", secret)
		w.WriteHeader(status)
		if code != "" {
			fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>%s</Code><Message>%s</Message><Key>%[2]s</Key></Error>`, code, secret)
		}
	}
}

func TestErrorsOfTheServer(t *testing.T) {
	for name, tc := range map[string]struct {
		status   int
		code     string
		want     error // nil: one that callers do not tell apart
		wantCode string
	}{
		"exists":                {412, "PreconditionFailed", objectstore.ErrExists, "PreconditionFailed"},
		"exists, without code":  {412, "", objectstore.ErrExists, "PreconditionFailed"},
		"lost race":             {409, "ConditionalRequestConflict", objectstore.ErrExists, "ConditionalRequestConflict"},
		"other conflict":        {409, "OperationAborted", nil, "OperationAborted"},
		"conflict, no code":     {409, "", nil, "Conflict"},
		"missing bucket":        {404, "NoSuchBucket", objectstore.ErrNoBucket, "NoSuchBucket"},
		"missing object":        {404, "NoSuchKey", objectstore.ErrNotExist, "NoSuchKey"},
		"denied":                {403, "AccessDenied", objectstore.ErrAccessDenied, "AccessDenied"},
		"denied, without code":  {403, "", objectstore.ErrAccessDenied, "AccessDenied"},
		"denied, unknown code":  {403, "AllAccessDisabled", objectstore.ErrAccessDenied, "AllAccessDisabled"},
		"unknown access key":    {403, "InvalidAccessKeyId", objectstore.ErrBadCredentials, "InvalidAccessKeyId"},
		"wrong secret":          {403, "SignatureDoesNotMatch", objectstore.ErrBadCredentials, "SignatureDoesNotMatch"},
		"expired token":         {400, "ExpiredToken", objectstore.ErrBadCredentials, "ExpiredToken"},
		"unauthorized":          {401, "", objectstore.ErrBadCredentials, ""},
		"clock skew":            {403, "RequestTimeTooSkewed", objectstore.ErrClockSkew, "RequestTimeTooSkewed"},
		"slow down":             {503, "SlowDown", objectstore.ErrThrottled, "SlowDown"},
		"unavailable":           {503, "", objectstore.ErrThrottled, ""},
		"too many requests":     {429, "", objectstore.ErrThrottled, ""},
		"bad digest":            {400, "BadDigest", objectstore.ErrBadDigest, "BadDigest"},
		"payload hash":          {400, "XAmzContentSHA256Mismatch", objectstore.ErrBadDigest, "XAmzContentSHA256Mismatch"},
		"not implemented":       {501, "NotImplemented", objectstore.ErrNotImplemented, "NotImplemented"},
		"not implemented, bare": {501, "", objectstore.ErrNotImplemented, ""},
		"internal error":        {500, "InternalError", nil, "InternalError"},
		"bad gateway":           {502, "", nil, ""},
		"moved":                 {301, "PermanentRedirect", objectstore.ErrRegion, "PermanentRedirect"},
		"signed for elsewhere":  {400, "AuthorizationHeaderMalformed", objectstore.ErrRegion, "AuthorizationHeaderMalformed"},
		"not allowed here":      {405, "MethodNotAllowed", objectstore.ErrNotImplemented, "MethodNotAllowed"},
		"archived":              {403, "InvalidObjectState", objectstore.ErrArchived, "InvalidObjectState"},
		"bucket without lock":   {409, "InvalidBucketState", objectstore.ErrBucketState, "InvalidBucketState"},
		"key of AWS":            {400, "KMS.NotFoundException", objectstore.ErrKey, "KMSNotFoundException"},
		"key of MinIO":          {404, "kms:KeyNotFound", objectstore.ErrKey, "KMSKeyNotFound"},
		"key with a sentence":   {404, "kms:" + secret + " !", objectstore.ErrKey, ""},
		"code is not a code":    {400, "a sentence, " + secret, nil, ""},
		"code is very long":     {400, strings.Repeat("A", 1000), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := put(t, open(t, serve(t, answer(tc.status, tc.code)), nil), "key", "body")
			var e *objectstore.Error
			if !errors.As(err, &e) {
				t.Fatalf("want an *objectstore.Error, got %#v", err)
			}
			if tc.want != nil && !errors.Is(err, tc.want) {
				t.Errorf("want %q, got %q", tc.want, err)
			}
			if e.Code != tc.wantCode || e.Status != tc.status || e.Op != objectstore.OpPut {
				t.Errorf("want put, %d and code %q, got %+v", tc.status, tc.wantCode, e)
			}
			if strings.Contains(err.Error(), secret) || len(err.Error()) > 150 {
				t.Errorf("the server's text came out: %q", err)
			}
		})
	}
}

// TestMissingBucket: an answer of 404 to a request for a bucket is a missing
// bucket, whatever the server calls it.
func TestMissingBucket(t *testing.T) {
	for _, code := range []string{"NoSuchBucket", "NoSuchKey", ""} {
		s := open(t, serve(t, answer(404, code)), nil)
		if err := s.CheckBucket(t.Context(), ""); !errors.Is(err, objectstore.ErrNoBucket) {
			t.Errorf("CheckBucket, %q: got %v", code, err)
		}
		for _, err := range s.List(t.Context(), "", "") {
			if !errors.Is(err, objectstore.ErrNoBucket) {
				t.Errorf("List, %q: got %v", code, err)
			}
		}
	}
}

func TestCreateBucket(t *testing.T) {
	for code, want := range map[string]error{
		"BucketAlreadyOwnedByYou": nil,
		"BucketAlreadyExists":     objectstore.ErrExists,
	} {
		s := open(t, serve(t, answer(409, code)), nil)
		if err := s.CreateBucket(t.Context()); !errors.Is(err, want) {
			t.Errorf("%s: want %v, got %v", code, want, err)
		}
	}
}

// TestMissingOrDenied: to who may list some prefixes only, S3 answers 403 for an
// object that is not there. The list tells what it is.
func TestMissingOrDenied(t *testing.T) {
	const denied = `<Error><Code>AccessDenied</Code></Error>`
	for name, tc := range map[string]struct {
		list string // empty: denied, too
		want error
	}{
		"missing":             {`<ListBucketResult></ListBucketResult>`, objectstore.ErrNotExist},
		"another is there":    {`<ListBucketResult><Contents><Key>p/key2</Key></Contents></ListBucketResult>`, objectstore.ErrNotExist},
		"it is there":         {`<ListBucketResult><Contents><Key>p/key</Key></Contents></ListBucketResult>`, objectstore.ErrAccessDenied},
		"nothing may be done": {"", objectstore.ErrAccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				if prefix := r.URL.Query().Get("prefix"); tc.list != "" && prefix == "p/key" {
					fmt.Fprint(w, tc.list)
					return
				}
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprint(w, denied)
			}), nil)
			if _, err := s.Head(t.Context(), "p/key"); !errors.Is(err, tc.want) {
				t.Errorf("Head: %v", err)
			}
			if _, _, err := s.Get(t.Context(), "p/key"); !errors.Is(err, tc.want) {
				t.Errorf("Get: %v", err)
			}
		})
	}
}
