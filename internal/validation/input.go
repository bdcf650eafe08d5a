// Package validation is the contract between the manager and the pod that
// validates what a trail has delivered: what the pod is given, and what it says
// in its termination message. It needs no access to the API server therefore.
package validation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

// Version of the contract. Manager and pod are of the same one.
const Version = 1

const (
	// FileInput is the name of the file with the Input.
	FileInput = "input.json"
	// MaxInput bounds it, in bytes.
	MaxInput = 1_000_000
)

// Input says what to validate, and against what.
type Input struct {
	Version int `json:"version"`
	// Trail is the CloudTrail name.
	Trail  string        `json:"trail"`
	Layout record.Layout `json:"layout"`
	// Destination is the bucket, with credentials to list and read it.
	Destination receiverconfig.Destination `json:"destination"`
	// Keys are the public keys of the installation.
	Keys []record.PublishedKey `json:"keys"`
	// Heads are digests that must exist: the newest, and the one at which the
	// last valid validation ended.
	Heads []record.Head `json:"heads"`
	// From is the time from which on digests are validated; zero for all.
	From time.Time `json:"from,omitzero"`
}

// ParseInput reads an Input strictly.
func ParseInput(raw []byte) (Input, error) {
	var in Input
	if err := strict(raw, MaxInput, &in); err != nil {
		return Input{}, err
	}
	switch {
	case in.Version != Version:
		return Input{}, fmt.Errorf("it is of version %d, not %d: use the image that belongs to the manager", in.Version, Version)
	case in.Trail == "" || in.Destination.Bucket == "" || len(in.Heads) == 0 || len(in.Keys) == 0:
		return Input{}, errors.New("trail, destination, keys and heads are required")
	}
	return in, nil
}

// strict decodes one JSON value without unknown fields and with nothing behind.
func strict(raw []byte, limit int, into any) error {
	if len(raw) > limit {
		return fmt.Errorf("it is longer than %d bytes", limit)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errors.New("it is not the JSON that is expected")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON")
	}
	return nil
}
