package cloudtrailapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/trail-operator/trail-operator/internal/record"
)

const (
	contentType = "application/x-amz-json-1.1"
	maxBody     = 1 << 20
)

// apiError is an error as JSON 1.1 carries it.
type apiError struct {
	Type    string `json:"__type"`
	Message string `json:"message"`
	status  int
}

func (e *apiError) Error() string { return e.Type + ": " + e.Message }

func badRequest(kind, message string) *apiError {
	return &apiError{kind, message, http.StatusBadRequest}
}

func (h *handler) serveCloudTrail(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		h.answer(w, nil, badRequest("RequestEntityTooLarge", "The request is too large or was cut short."))
		return
	}
	// The Python clients put the service's namespace before the target, the
	// others do not.
	target := r.Header.Get("X-Amz-Target")
	operation := target[strings.LastIndexByte(target, '.')+1:]
	operations := map[string]func(*http.Request, []byte) (any, error){
		"DescribeTrails":    h.describeTrails,
		"ListPublicKeys":    h.listPublicKeys,
		"GetEventSelectors": h.getEventSelectors,
		// Of Organizations, which clients look for at the same address.
		"DescribeOrganization": h.describeOrganization,
	}
	do, ok := operations[operation]
	if !ok {
		h.answer(w, nil, badRequest("UnsupportedOperationException", "This endpoint answers DescribeTrails, GetEventSelectors, ListPublicKeys and DescribeOrganization only."))
		return
	}
	out, err := do(r, body)
	h.answer(w, out, err)
}

func (h *handler) answer(w http.ResponseWriter, out any, err error) {
	status := http.StatusOK
	var known *apiError
	switch {
	case errors.As(err, &known):
		out, status = known, known.status
	case err != nil:
		h.log.Error(err, "A request to CloudTrail's API failed")
		out, status = &apiError{Type: "InternalFailure", Message: "The trails cannot be read at present."}, http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(record.MustJSON(out)) // the client has gone if this fails
}

func decode(body []byte, into any) error {
	if len(body) == 0 {
		return nil
	}
	if json.Unmarshal(body, into) != nil {
		return badRequest("SerializationException", "The body is not the JSON of this operation.")
	}
	return nil
}

type describedTrail struct {
	Name                       string
	S3BucketName               string
	S3KeyPrefix                string `json:",omitempty"`
	IncludeGlobalServiceEvents bool
	IsMultiRegionTrail         bool
	HomeRegion                 string
	TrailARN                   string
	LogFileValidationEnabled   bool
	HasCustomEventSelectors    bool
	HasInsightSelectors        bool
	IsOrganizationTrail        bool
}

func (h *handler) describeTrails(r *http.Request, body []byte) (any, error) {
	var in struct {
		TrailNameList []string `json:"trailNameList"`
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	trails, err := h.source.Trails(r.Context())
	if err != nil {
		return nil, err
	}
	var out struct {
		TrailList []describedTrail `json:"trailList"`
	}
	out.TrailList = []describedTrail{}
	for _, t := range trails {
		if len(in.TrailNameList) > 0 && !slices.Contains(in.TrailNameList, t.Name) && !slices.Contains(in.TrailNameList, t.ARN) {
			continue
		}
		out.TrailList = append(out.TrailList, describedTrail{
			Name: t.Name, S3BucketName: t.Bucket, S3KeyPrefix: t.Prefix, HomeRegion: t.Region,
			TrailARN: t.ARN, LogFileValidationEnabled: t.Validation, HasCustomEventSelectors: isCustom(t.Selection), IsOrganizationTrail: t.Organization != "",
		})
	}
	return out, nil
}

// describeOrganization names the organization of the trails. All trails of one
// installation are of the same one.
func (h *handler) describeOrganization(r *http.Request, _ []byte) (any, error) {
	trails, err := h.source.Trails(r.Context())
	if err != nil {
		return nil, err
	}
	for _, t := range trails {
		if t.Organization != "" {
			type organization struct {
				ID string `json:"Id"`
			}
			return struct{ Organization organization }{organization{t.Organization}}, nil
		}
	}
	return nil, badRequest("AWSOrganizationsNotInUseException", "This installation has no organization ID.")
}

type listedKey struct {
	Value             []byte
	ValidityStartTime int64
	ValidityEndTime   int64
	Fingerprint       string
}

// keyLifetime ends the validity that is shown: keys are never withdrawn, and
// clients want to see an end.
const keyLifetime = 100 * 365 * 24 * time.Hour

// listPublicKeys returns all keys, whatever time is asked for: a key may sign
// the digests of hours before it was made, when they were missed.
func (h *handler) listPublicKeys(r *http.Request, body []byte) (any, error) {
	var in struct{ StartTime, EndTime float64 }
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if in.StartTime != 0 && in.EndTime != 0 && in.StartTime > in.EndTime {
		return nil, badRequest("InvalidTimeRangeException", "StartTime must not be after EndTime.")
	}
	keys, err := h.source.PublicKeys(r.Context())
	if err != nil {
		return nil, err
	}
	var out struct{ PublicKeyList []listedKey }
	out.PublicKeyList = []listedKey{}
	for _, k := range keys {
		start, err := time.Parse(record.TimeFormat, k.ValidityStart)
		if err != nil {
			return nil, err
		}
		out.PublicKeyList = append(out.PublicKeyList, listedKey{k.Value, start.Unix(), start.Add(keyLifetime).Unix(), k.Fingerprint})
	}
	return out, nil
}
