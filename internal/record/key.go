package record

import (
	"fmt"
	"path"
	"regexp"
	"time"
)

// Layout builds object keys. The bucket layout is CloudTrail's: log readers
// find files by it and `aws cloudtrail validate-logs` parses it.
type Layout struct {
	Prefix       string // of the trail, without slashes at either end; may be empty
	Organization string // o-…, or empty
	Account      string // 12 digits
	Region       string
}

// Place returns the prefix under which all objects of the layout lie.
func (l Layout) Place() string { return l.root() + "/" }

func (l Layout) root() string {
	return path.Join(l.Prefix, "AWSLogs", l.Organization, l.Account)
}

// LogFile returns the key of a log file that was closed at t. unique is its 16
// random alphanumerics.
func (l Layout) LogFile(t time.Time, unique string) string {
	t = t.UTC()
	return fmt.Sprintf("%s/CloudTrail/%s/%s/%s_CloudTrail_%s_%s_%s.json.gz", l.root(), l.Region,
		t.Format("2006/01/02"), l.Account, l.Region, t.Format("20060102T1504Z"), unique)
}

// LogFiles returns the prefix under which all log files of the layout lie.
func (l Layout) LogFiles() string { return l.root() + "/CloudTrail/" + l.Region + "/" }

// Digest returns the key of the digest of trail whose window ends at end.
func (l Layout) Digest(trail string, end time.Time) string {
	end = end.UTC()
	return fmt.Sprintf("%s/CloudTrail-Digest/%s/%s/%s_CloudTrail-Digest_%s_%s_%s_%s.json.gz", l.root(), l.Region,
		end.Format("2006/01/02"), l.Account, l.Region, trail, l.Region, end.Format("20060102T150405Z"))
}

// Digests returns the prefix under which all digests of the layout lie.
func (l Layout) Digests() string { return l.root() + "/CloudTrail-Digest/" + l.Region + "/" }

// DigestKeys returns the prefix under which the public keys are published.
func (l Layout) DigestKeys() string { return l.root() + "/CloudTrail-Digest-Keys/" }

// DigestKey returns the key of the published public key with this fingerprint.
func (l Layout) DigestKey(fingerprint string) string {
	return l.DigestKeys() + fingerprint + ".json"
}

// Owner returns the key of the object that claims the prefix for one trail.
func (l Layout) Owner() string { return l.root() + "/trail-owner.json" }

var (
	logFileName = regexp.MustCompile(`(?:^|/)(\d{12})_CloudTrail_([a-z0-9-]+)_(\d{8}T\d{4}Z)_([A-Za-z0-9]{16})\.json\.gz$`)
	digestName  = regexp.MustCompile(`(?:^|/)(\d{12})_CloudTrail-Digest_([a-z0-9-]+)_(.+)_([a-z0-9-]+)_(\d{8}T\d{6}Z)(_backfill)?\.json\.gz$`)
)

// DigestName is what the key of a digest says.
type DigestName struct {
	Account, Region, Trail, HomeRegion string
	End                                time.Time
	Backfill                           bool
}

// ParseDigestKey reads the last element of a digest's key.
func ParseDigestKey(key string) (DigestName, bool) {
	m := digestName.FindStringSubmatch(key)
	if m == nil {
		return DigestName{}, false
	}
	end, err := time.Parse("20060102T150405Z", m[5])
	if err != nil {
		return DigestName{}, false
	}
	return DigestName{Account: m[1], Region: m[2], Trail: m[3], HomeRegion: m[4], End: end, Backfill: m[6] != ""}, true
}

// IsLogFileKey reports whether key is that of a log file.
func IsLogFileKey(key string) bool { return logFileName.MatchString(key) }

// LogFileTime returns the minute in which the log file with this key was closed.
func LogFileTime(key string) (time.Time, bool) {
	m := logFileName.FindStringSubmatch(key)
	if m == nil {
		return time.Time{}, false
	}
	t, err := time.Parse("20060102T1504Z", m[3])
	return t, err == nil
}

// TrailARN returns the ARN of a trail. name is its CloudTrail name:
// <namespace>.<name>, or the name of an OrganizationTrail.
func TrailARN(region, account, name string) string {
	return fmt.Sprintf("arn:k8s:cloudtrail:%s:%s:trail/%s", region, account, name)
}
