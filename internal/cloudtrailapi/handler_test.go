package cloudtrailapi

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	testclock "k8s.io/utils/clock/testing"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/memory"
	"github.com/trail-operator/trail-operator/internal/record"
	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
)

// source is one trail in memory.
type source struct {
	*verifytest.Trail
	store *memory.Store
	err   error
}

func (s *source) Trails(context.Context) ([]Trail, error) {
	return []Trail{
		{Name: s.Name, ARN: s.ARN(), Region: s.Layout.Region, Bucket: s.Trail.Bucket, Prefix: s.Layout.Prefix, Organization: s.Layout.Organization, Validation: true},
		{Name: "other", ARN: "arn:other", Region: "eu-lab-1", Bucket: "other", Selection: otherSelection},
	}, s.err
}

func (s *source) PublicKeys(context.Context) ([]record.PublishedKey, error) { return s.Keys, s.err }

func (s *source) Bucket(_ context.Context, name string) (objectstore.Store, error) {
	if name != s.Trail.Bucket {
		return nil, objectstore.ErrNoBucket
	}
	return s.store, nil
}

func newSource(t testing.TB) *source {
	start := time.Date(2026, 3, 1, 9, 20, 0, 0, time.UTC)
	store := memory.New(testclock.NewFakePassiveClock(start))
	tr := verifytest.New(t, store, "audit", start)
	tr.Hours(t, 2, 1)
	return &source{tr, store, nil}
}

func request(t *testing.T, s Source, method, target, operation, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if operation != "" {
		r.Header.Set("X-Amz-Target", operation)
	}
	w := httptest.NewRecorder()
	New(s, logr.Discard()).ServeHTTP(w, r)
	return w
}

func TestDescribeTrails(t *testing.T) {
	s := newSource(t)
	for body, want := range map[string][]string{
		"":                                {s.ARN(), "arn:other"},
		"{}":                              {s.ARN(), "arn:other"},
		`{"trailNameList":["shop.all"]}`:  {s.ARN()},
		`{"trailNameList":["arn:other"]}`: {"arn:other"},
		`{"trailNameList":["none"]}`:      nil,
	} {
		for _, prefix := range []string{"CloudTrail_20131101.", "com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101."} {
			w := request(t, s, http.MethodPost, "/", prefix+"DescribeTrails", body)
			var out struct {
				TrailList []struct{ TrailARN, S3KeyPrefix string } `json:"trailList"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			var got []string
			for _, trail := range out.TrailList {
				got = append(got, trail.TrailARN)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", body, diff)
			}
		}
	}
}

func TestDescribeOrganization(t *testing.T) {
	const operation = "AWSOrganizationsV20161128.DescribeOrganization"
	if w := request(t, newSource(t), http.MethodPost, "/", operation, "{}"); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "AWSOrganizationsNotInUseException") {
		t.Errorf("without an organization: %d %s", w.Code, w.Body)
	}
	s := newSource(t)
	s.Layout.Organization = "o-0123456789"
	if w := request(t, s, http.MethodPost, "/", operation, "{}"); w.Code != http.StatusOK || w.Body.String() != `{"Organization":{"Id":"o-0123456789"}}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w := request(t, s, http.MethodPost, "/", "CloudTrail_20131101.DescribeTrails", "{}")
	var out struct {
		TrailList []struct{ IsOrganizationTrail bool } `json:"trailList"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || len(out.TrailList) != 2 || !out.TrailList[0].IsOrganizationTrail || out.TrailList[1].IsOrganizationTrail {
		t.Errorf("%v %s", err, w.Body)
	}
}

func TestListPublicKeys(t *testing.T) {
	s := newSource(t)
	w := request(t, s, http.MethodPost, "/", "CloudTrail_20131101.ListPublicKeys", `{"StartTime":1.5,"EndTime":1772300000}`)
	want := fmt.Sprintf(`{"PublicKeyList":[{"Value":%q,"ValidityStartTime":%d,"ValidityEndTime":%d,"Fingerprint":%q}]}`,
		base64.StdEncoding.EncodeToString(s.Keys[0].Value), 1772356800, 1772356800+int64(keyLifetime.Seconds()), s.Keys[0].Fingerprint)
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Error(diff)
	}
	if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.1" {
		t.Errorf("the content type is %s", got)
	}
}

func TestCloudTrailErrors(t *testing.T) {
	s := newSource(t)
	broken := &source{s.Trail, s.store, errors.New("the secret reason")}
	for name, tc := range map[string]struct {
		source          Source
		operation, body string
		status          int
		kind            string
	}{
		"another operation": {s, "CloudTrail_20131101.DeleteTrail", "{}", 400, "UnsupportedOperationException"},
		"no operation":      {s, "", "{}", 400, "UnsupportedOperationException"},
		"no JSON":           {s, "CloudTrail_20131101.DescribeTrails", "{", 400, "SerializationException"},
		"a wrong range":     {s, "CloudTrail_20131101.ListPublicKeys", `{"StartTime":2,"EndTime":1}`, 400, "InvalidTimeRangeException"},
		"a large body":      {s, "CloudTrail_20131101.DescribeTrails", strings.Repeat(" ", maxBody+1), 400, "RequestEntityTooLarge"},
		"a broken source":   {broken, "CloudTrail_20131101.DescribeTrails", "{}", 500, "InternalFailure"},
		"broken trails":     {broken, "AWSOrganizationsV20161128.DescribeOrganization", "{}", 500, "InternalFailure"},
		"broken keys":       {broken, "CloudTrail_20131101.ListPublicKeys", "{}", 500, "InternalFailure"},
	} {
		w := request(t, tc.source, http.MethodPost, "/", tc.operation, tc.body)
		var out apiError
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if w.Code != tc.status || out.Type != tc.kind || out.Message == "" || strings.Contains(out.Message, "secret") {
			t.Errorf("%s: %d %+v", name, w.Code, out)
		}
	}
}

func TestGetObject(t *testing.T) {
	s := newSource(t)
	key := s.Digests[1]
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		w := request(t, s, method, "/audit/"+key, "", "")
		stored := s.store.Objects()[key]
		if w.Code != http.StatusOK || w.Header().Get("Content-Length") != fmt.Sprint(len(stored.Body)) {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
		// The spelling on the wire, not what Get would find.
		if got := w.Header()["x-amz-meta-signature"]; len(got) != 1 || got[0] != stored.Metadata["signature"] { //nolint:staticcheck // lower case is the point
			t.Errorf("%s: the signature is %q", method, got)
		}
		if method == http.MethodGet && w.Body.String() != string(stored.Body) {
			t.Error("the body is another one")
		}
	}
}

func TestS3Errors(t *testing.T) {
	s := newSource(t)
	for target, want := range map[string]string{
		"GET /audit/none":                        "404 NoSuchKey",
		"GET /none/x":                            "404 NoSuchBucket",
		"GET /none?location":                     "404 NoSuchBucket",
		"GET /":                                  "501 NotImplemented",
		"GET /audit?list-type=2":                 "501 NotImplemented",
		"GET /audit?versions":                    "501 NotImplemented",
		"GET /audit?max-keys=x":                  "400 InvalidArgument",
		"GET /audit?encoding-type=x":             "400 InvalidArgument",
		"PUT /audit/x":                           "405 MethodNotAllowed",
		"DELETE /audit/x":                        "405 MethodNotAllowed",
		"POST /audit?delete":                     "405 MethodNotAllowed",
		"HEAD /audit/none":                       "404 ",
		"HEAD /audit":                            "200 ",
		"GET /audit/%2e%2e/%2e%2e/etc/passwd":    "404 NoSuchKey",
		"GET /audit//" + url.PathEscape("a\x00"): "404 NoSuchKey",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := request(t, s, method, path, "", "")
		var e s3Error
		if method != http.MethodHead {
			if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
		if got := fmt.Sprintf("%d %s", w.Code, e.Code); got != want {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
	}
	s.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrAccessDenied}
	})
	if w := request(t, s, http.MethodGet, "/audit/x", "", ""); w.Code != http.StatusForbidden {
		t.Errorf("refused by the store: %d", w.Code)
	}
	s.store.SetHook(func(context.Context, objectstore.Op, string) memory.Fault {
		return memory.Fault{Refuse: objectstore.ErrUnreachable}
	})
	if w := request(t, s, http.MethodGet, "/audit", "", ""); w.Code != http.StatusServiceUnavailable {
		t.Errorf("an unreachable store: %d", w.Code)
	}
}

func TestListObjectsPages(t *testing.T) {
	s := newSource(t)
	odd := "shop/all/AWSLogs/with space+plus&ü.json"
	s.Put(t, odd, nil, nil)
	var keys []string
	marker := ""
	for range 100 {
		w := request(t, s, http.MethodGet, "/audit?max-keys=2&encoding-type=url&prefix=shop%2Fall%2F&marker="+url.QueryEscape(marker), "", "")
		var out listing
		if err := xml.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Contents {
			key, err := url.QueryUnescape(c.Key)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
			marker = key
		}
		if !out.IsTruncated {
			break
		}
	}
	var want []string
	for info, err := range s.store.List(t.Context(), "shop/all/", "") {
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, info.Key)
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Error(diff)
	}
}

// The server as a whole, over the network: the header's spelling survives.
func TestHeaderOnTheWire(t *testing.T) {
	s := newSource(t)
	server := httptest.NewServer(New(s, logr.Discard()))
	defer server.Close()
	resp, err := http.Get(server.URL + "/audit/" + s.Digests[0])
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != string(s.store.Objects()[s.Digests[0]].Body) {
		t.Errorf("the body is another one (%v)", err)
	}
	if resp.Uncompressed || resp.Header.Get("Content-Encoding") != "" {
		t.Error("the body was inflated on the way")
	}
}

func FuzzServe(f *testing.F) {
	s := newSource(f)
	f.Add("/audit?marker=x&prefix=y&encoding-type=url", "", "")
	f.Add("/", "CloudTrail_20131101.ListPublicKeys", `{"StartTime":"x"}`)
	f.Fuzz(func(t *testing.T, target, operation, body string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		method := http.MethodGet
		if operation != "" {
			method = http.MethodPost
		}
		r := httptest.NewRequest(method, "/", strings.NewReader(body))
		r.URL = u
		r.Header.Set("X-Amz-Target", operation)
		w := httptest.NewRecorder()
		New(s, logr.Discard()).ServeHTTP(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
