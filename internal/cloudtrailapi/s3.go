package cloudtrailapi

import (
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
)

// maxListed is the largest page of a listing, and its default.
const maxListed = 1000

// s3Error is an error as S3 answers it.
type s3Error struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
	status  int
}

func (e *s3Error) Error() string { return e.Code + ": " + e.Message }

func (h *handler) serveS3(w http.ResponseWriter, r *http.Request) {
	if err := h.s3(w, r); err != nil {
		h.answerS3Error(w, r, err)
	}
}

func (h *handler) s3(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return &s3Error{Code: "MethodNotAllowed", Message: "This endpoint is read-only.", status: http.StatusMethodNotAllowed}
	}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if bucket == "" {
		return notImplemented
	}
	store, err := h.source.Bucket(r.Context(), bucket)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	switch {
	case key != "":
		return getObject(w, r, store, key)
	case r.Method == http.MethodHead:
		return store.CheckBucket(r.Context(), "")
	case query.Has("location"):
		writeXML(w, http.StatusOK, locationConstraint{})
		return nil
	}
	return listObjects(w, r, store, bucket, query)
}

var notImplemented = &s3Error{Code: "NotImplemented", Message: "This endpoint gets objects and lists them with ListObjects (version 1).", status: http.StatusNotImplemented}

func (h *handler) answerS3Error(w http.ResponseWriter, r *http.Request, err error) {
	var e *s3Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, objectstore.ErrNoBucket):
		e = &s3Error{Code: "NoSuchBucket", Message: "The bucket does not exist.", status: http.StatusNotFound}
	case errors.Is(err, objectstore.ErrNotExist):
		e = &s3Error{Code: "NoSuchKey", Message: "The object does not exist.", status: http.StatusNotFound}
	case errors.Is(err, objectstore.ErrAccessDenied), errors.Is(err, objectstore.ErrBadCredentials):
		e = &s3Error{Code: "AccessDenied", Message: "The bucket's server refused the credentials of this endpoint.", status: http.StatusForbidden}
	default:
		h.log.Error(err, "A request to a bucket failed")
		e = &s3Error{Code: "ServiceUnavailable", Message: "The bucket's server cannot be read at present.", status: http.StatusServiceUnavailable}
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(e.status)
		return
	}
	writeXML(w, e.status, e)
}

func getObject(w http.ResponseWriter, r *http.Request, store objectstore.Store, key string) error {
	var info objectstore.Info
	var body io.ReadCloser
	var err error
	if r.Method == http.MethodHead {
		info, err = store.Head(r.Context(), key)
	} else {
		body, info, err = store.Get(r.Context(), key)
	}
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.FormatInt(info.Size, 10))
	if info.ETag != "" {
		header.Set("ETag", quoted(info.ETag))
	}
	if !info.Modified.IsZero() {
		header.Set("Last-Modified", info.Modified.UTC().Format(http.TimeFormat))
	}
	for name, value := range info.Metadata {
		// Past Set, which would write capitals: botocore looks for lower case.
		header["x-amz-meta-"+strings.ToLower(name)] = []string{value}
	}
	if body == nil {
		return nil
	}
	defer body.Close()
	// A short body shows in its length; there is no other way to say it now.
	_, _ = io.Copy(w, body)
	return nil
}

func quoted(etag string) string { return `"` + strings.Trim(etag, `"`) + `"` }

type locationConstraint struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
}

type listing struct {
	XMLName      xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name         string
	Prefix       string
	Marker       string
	MaxKeys      int
	EncodingType string `xml:",omitempty"`
	IsTruncated  bool
	Contents     []listed
}

type listed struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

// listObjects answers ListObjects, version 1: what validate-logs uses.
func listObjects(w http.ResponseWriter, r *http.Request, store objectstore.Store, bucket string, query url.Values) error {
	for name := range query {
		switch name {
		case "prefix", "marker", "max-keys", "encoding-type", "x-id":
		default:
			return notImplemented
		}
	}
	encode := func(s string) string { return s }
	encoding := query.Get("encoding-type")
	switch encoding {
	case "":
	case "url":
		encode = func(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "%2F", "/") }
	default:
		return &s3Error{Code: "InvalidArgument", Message: "The encoding-type can be url only.", status: http.StatusBadRequest}
	}
	limit := maxListed
	if s := query.Get("max-keys"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 {
			return &s3Error{Code: "InvalidArgument", Message: "max-keys is not a number of keys.", status: http.StatusBadRequest}
		}
		limit = min(n, maxListed)
	}
	prefix, marker := query.Get("prefix"), query.Get("marker")
	out := listing{
		Name: bucket, Prefix: encode(prefix), Marker: encode(marker), MaxKeys: limit, EncodingType: encoding,
	}
	if limit > 0 {
		for info, err := range store.List(r.Context(), prefix, marker) {
			if err != nil {
				return err
			}
			if len(out.Contents) == limit {
				out.IsTruncated = true
				break
			}
			out.Contents = append(out.Contents, listed{
				Key: encode(info.Key), LastModified: info.Modified.UTC().Format(time.RFC3339),
				ETag: quoted(info.ETag), Size: info.Size, StorageClass: "STANDARD",
			})
		}
	}
	writeXML(w, http.StatusOK, out)
	return nil
}

func writeXML(w http.ResponseWriter, status int, v any) {
	b, err := xml.Marshal(v)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), b...)) // the client has gone if this fails
}
