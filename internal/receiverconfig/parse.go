package receiverconfig

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// ParseConfig reads receiver.json strictly.
func ParseConfig(raw []byte) (Config, error) {
	var c Config
	if err := decodeStrict(raw, &c); err != nil {
		return Config{}, fmt.Errorf("%s: %w", FileConfig, err)
	}
	if err := c.validate(); err != nil {
		return Config{}, fmt.Errorf("%s: %w", FileConfig, err)
	}
	return c, nil
}

// ParseTrail reads the file of one trail strictly.
func ParseTrail(raw []byte) (Trail, error) {
	var t Trail
	if err := decodeStrict(raw, &t); err != nil {
		return Trail{}, err
	}
	if err := t.validate(); err != nil {
		return Trail{}, err
	}
	return t, nil
}

// RecoverConfig reads what the installation cannot tell of a receiver.json that
// ParseConfig refuses, because another version has written it or somebody has
// changed it: the generation, the kinds, the second receiver and whether there are
// tails, each if it is valid.
func RecoverConfig(raw []byte) Config {
	var c Config
	_ = json.Unmarshal(raw, &c) // it goes on after a value of another type
	to := c.ForwardTo
	if to != nil && to.validate() != nil {
		to = nil
	}
	tail := c.Tail
	if tail != nil && tail.validate() != nil {
		tail = nil
	}
	return Config{Generation: max(c.Generation, 0), Kinds: c.Kinds, ForwardTo: to, Tail: tail}
}

// RecoverTrail reads what it knows of the file of a trail that ParseTrail
// refuses, because another version has written it. It is false for what is no
// such file at all.
func RecoverTrail(raw []byte) (Trail, bool) {
	var t Trail
	err := json.Unmarshal(raw, &t)
	var another *json.UnmarshalTypeError // it goes on after such a value
	return t, (err == nil || errors.As(err, &another)) && isUID(t.UID)
}

func (c *Config) validate() error {
	switch {
	case c.Version != Version:
		return fmt.Errorf("format version %d: this receiver reads version %d", c.Version, Version)
	case c.Generation < 1:
		return errors.New("the generation is missing")
	case !IsAccount(c.Installation.Account):
		return errors.New("the account is not 12 digits")
	case !IsRegion(c.Installation.Region):
		return errors.New("the region is not lower-case letters, digits and hyphens")
	case c.Installation.UID == "" || len(c.Installation.UID) > 64:
		return errors.New("the installation UID is missing or too long")
	case c.Installation.Organization != "" && !IsOrganization(c.Installation.Organization):
		return errors.New("the organization is not o- and 10 to 32 lower-case letters and digits")
	case len(c.Files) > MaxFiles:
		return fmt.Errorf("it lists more than %d files", MaxFiles)
	case len(c.RefusedCertificates) > MaxRefused:
		return fmt.Errorf("it refuses more than %d certificates", MaxRefused)
	}
	for _, f := range c.RefusedCertificates {
		if b, err := hex.DecodeString(f); err != nil || len(b) != sha256.Size {
			return errors.New("a certificate that is refused is not named by a hex SHA-256")
		}
	}
	if c.ForwardTo != nil {
		if err := c.ForwardTo.validate(); err != nil {
			return err
		}
	}
	if c.Tail != nil {
		if err := c.Tail.validate(); err != nil {
			return err
		}
	}
	for _, p := range c.TrustedProxies {
		if _, err := netip.ParsePrefix(p); err != nil {
			return errors.New("a trusted proxy is not an address range such as 10.0.0.0/8")
		}
	}
	for _, name := range []string{FileServerCert, FileServerKey, FileClientCA, FileSigningKey} {
		if _, ok := c.Files[name]; !ok {
			return fmt.Errorf("it does not list %s", name)
		}
	}
	for name := range c.Files {
		if _, ok := TrailUID(name); !ok && !isPEM(name) {
			return fmt.Errorf("it lists a file of an unknown name, %.100q", name)
		}
	}
	return nil
}

func isPEM(name string) bool {
	return name == FileServerCert || name == FileServerKey || name == FileClientCA || name == FileSigningKey
}

func (t *Trail) validate() error {
	d := t.Destination
	switch {
	case !isUID(t.UID):
		return errors.New("the UID is missing or malformed")
	case !v1alpha1.IsCloudTrailName(t.Name):
		return errors.New("the name is not a CloudTrail name")
	case t.Namespace != "" && !strings.HasPrefix(t.Name, t.Namespace+"."):
		return errors.New("the name does not begin with the namespace")
	case t.ARN == "":
		return errors.New("the ARN is missing")
	case t.Generation < 1:
		return errors.New("the generation is missing")
	case d.Bucket == "" || d.Region == "":
		return errors.New("the bucket or its region is missing")
	case !IsPrefix(d.Prefix):
		return errors.New("the prefix is malformed")
	case t.MaxFileAgeSeconds < 30 || t.MaxFileAgeSeconds > 3600:
		return errors.New("maxFileAgeSeconds is not within 30 and 3600")
	case t.MaxFileSizeMiB < 1 || t.MaxFileSizeMiB > 64:
		return errors.New("maxFileSizeMiB is not within 1 and 64")
	}
	if err := d.validate(); err != nil {
		return err
	}
	return validateLifecycle(t.Lifecycle)
}

// IsPrefix reports whether s is what the API server lets Trails have for a
// prefix; empty is. No element begins with a dot: object keys are made by joining
// elements, and none leads back up.
func IsPrefix(s string) bool {
	if s == "" {
		return true
	}
	for e := range strings.SplitSeq(s, "/") {
		if e == "" || e[0] == '.' || e == "AWSLogs" || strings.Trim(e, digits+letters+"ABCDEFGHIJKLMNOPQRSTUVWXYZ"+"._=-") != "" {
			return false
		}
	}
	return len(s) <= 200
}

// IsAccount reports whether s is 12 digits.
func IsAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, digits) == ""
}

const (
	digits  = "0123456789"
	letters = "abcdefghijklmnopqrstuvwxyz"
)

// IsRegion reports whether s is 1 to 63 lower-case letters, digits and single
// hyphens, with a letter or digit at either end. It stands in object keys
// between underscores.
func IsRegion(s string) bool {
	return len(s) > 0 && len(s) <= 63 && strings.Trim(s, digits+letters+"-") == "" &&
		s[0] != '-' && s[len(s)-1] != '-' && !strings.Contains(s, "--")
}

// IsOrganization reports whether s is o- and 10 to 32 lower-case alphanumerics.
func IsOrganization(s string) bool {
	id, ok := strings.CutPrefix(s, "o-")
	return ok && len(id) >= 10 && len(id) <= 32 && strings.Trim(id, digits+letters) == ""
}
