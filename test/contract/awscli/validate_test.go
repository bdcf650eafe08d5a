package awscli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/verify/verifytest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// installed returns every AWS CLI of this machine.
func installed(t *testing.T) []awsCLI {
	t.Helper()
	var found []awsCLI
	for _, c := range testenv.AWSCLIs(t.Context()) {
		found = append(found, awsCLI{c})
	}
	if len(found) == 0 {
		const reason = "there is no AWS CLI on the PATH; on Debian, apt-get install awscli brings one"
		if os.Getenv("CI") == "true" {
			t.Fatal(reason)
		}
		t.Skip(reason)
	}
	return found
}

type awsCLI struct{ testenv.AWSCLI }

// validate runs `aws cloudtrail validate-logs` and returns what it printed and
// its exit code.
func (c awsCLI) validate(t *testing.T, b *bucket, account string) (string, int) {
	t.Helper()
	out, exit, err := c.ValidateLogs(t.Context(), t.TempDir(), testenv.Validation{
		Endpoint: b.endpoint, Region: b.Layout.Region, TrailARN: b.ARN(), Account: account,
		Start: b.start.Add(-time.Hour), End: time.Now().UTC().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out, exit
}

// tampering is what an intruder does, and what the AWS CLI and our verifier
// say to it.
type tampering struct {
	name   string
	tamper func(t *testing.T, b *bucket)
	// aws are lines of the AWS CLI's answer; nil where it does not notice.
	aws  func(b *bucket) []string
	ours func(b *bucket) []string
}

func uri(b *bucket, key string) string { return "s3://" + b.Trail.Bucket + "/" + key }

var tamperings = []tampering{
	{
		name: "flipped byte",
		tamper: func(t *testing.T, b *bucket) {
			body := b.body(t, b.Files[3])
			body[len(body)/2] ^= 1
			b.replace(t, b.Files[3], body)
		},
		aws:  func(b *bucket) []string { return []string{"Log file\t" + uri(b, b.Files[3]) + "\tINVALID: "} },
		ours: func(b *bucket) []string { return []string{"LogFileInvalid " + b.Files[3]} },
	},
	{
		name: "changed record",
		tamper: func(t *testing.T, b *bucket) {
			content := verifytest.Gunzip(t, b.body(t, b.Files[3]))
			b.replace(t, b.Files[3], verifytest.Gzip(t, bytes.Replace(content, []byte("1.11"), []byte("1.10"), 1)))
		},
		aws: func(b *bucket) []string {
			return []string{"Log file\t" + uri(b, b.Files[3]) + "\tINVALID: hash value doesn't match"}
		},
		ours: func(b *bucket) []string { return []string{"LogFileInvalid " + b.Files[3]} },
	},
	{
		name:   "deleted log file",
		tamper: func(t *testing.T, b *bucket) { b.remove(t, b.Files[4]) },
		aws:    func(b *bucket) []string { return []string{"Log file\t" + uri(b, b.Files[4]) + "\tINVALID: not found"} },
		ours:   func(b *bucket) []string { return []string{"LogFileMissing " + b.Files[4]} },
	},
	{
		name: "changed digest",
		tamper: func(t *testing.T, b *bucket) {
			content := verifytest.Gunzip(t, b.body(t, b.Digests[2]))
			b.replace(t, b.Digests[2], verifytest.Gzip(t, bytes.Replace(content, []byte(`"final":false`), []byte(`"final":true`), 1)))
		},
		aws: func(b *bucket) []string {
			return []string{"Digest file\t" + uri(b, b.Digests[2]) + "\tINVALID: signature verification failed"}
		},
		ours: func(b *bucket) []string {
			return []string{
				"DigestSignature " + b.Digests[2], "ChainBroken " + b.Digests[2],
				"LogFileUnlisted " + b.Files[4], "LogFileUnlisted " + b.Files[5],
			}
		},
	},
	{
		name:   "replaced digest",
		tamper: func(t *testing.T, b *bucket) { b.replace(t, b.Digests[2], b.body(t, b.Digests[1])) },
		aws:    func(b *bucket) []string { return []string{"Digest file\t" + uri(b, b.Digests[2]) + "\tINVALID: "} },
		ours: func(b *bucket) []string {
			return []string{"DigestInvalid " + b.Digests[2], "LogFileUnlisted " + b.Files[4], "LogFileUnlisted " + b.Files[5]}
		},
	},
	{
		name:   "deleted middle digest",
		tamper: func(t *testing.T, b *bucket) { b.remove(t, b.Digests[2]) },
		aws: func(b *bucket) []string {
			return []string{"Digest file\t" + uri(b, b.Digests[2]) + "\tINVALID: not found"}
		},
		ours: func(b *bucket) []string {
			return []string{"DigestMissing " + b.Digests[2], "LogFileUnlisted " + b.Files[4], "LogFileUnlisted " + b.Files[5]}
		},
	},
	{
		name: "deleted newest digest",
		tamper: func(t *testing.T, b *bucket) {
			b.remove(t, b.Digests[5])
			b.remove(t, b.Files[10])
		},
		ours: func(b *bucket) []string { return []string{"DigestMissing " + b.Digests[5]} },
	},
	{
		name: "two digests in a row deleted",
		tamper: func(t *testing.T, b *bucket) {
			for _, key := range append(b.Digests[2:4:4], b.Files[4:8]...) {
				b.remove(t, key)
			}
		},
		ours: func(b *bucket) []string {
			return []string{"DigestMissing " + b.Digests[2], "DigestMissing " + b.Digests[3]}
		},
	},
	{
		name: "planted log file",
		tamper: func(t *testing.T, b *bucket) {
			b.Put(t, planted(b), verifytest.Gzip(t, []byte(`{"Records":[]}`)), nil)
		},
		ours: func(b *bucket) []string { return []string{"LogFileUnlisted " + planted(b)} },
	},
	{
		name: "chain cut and restarted",
		tamper: func(t *testing.T, b *bucket) {
			b.Restart(b.End())
			b.Forget()
			b.finish(t)
		},
		ours: func(b *bucket) []string { return []string{"ChainCut " + b.Digests[6]} },
	},
}

func planted(b *bucket) string {
	return b.Layout.LogFile(b.start.Add(90*time.Minute), "planted000000000")
}

func (b *bucket) body(t *testing.T, key string) []byte {
	t.Helper()
	body, _, err := b.store.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(body); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// TestValidateLogs runs the AWS CLI on a whole trail and on trails that somebody
// has tampered with.
func TestValidateLogs(t *testing.T) {
	clis := installed(t)
	for _, store := range backends(t) {
		for i, tc := range append([]tampering{{name: "untouched"}}, tamperings...) {
			// The store in memory shows that nothing depends on the server; the
			// CLI takes seconds for each run, so one tampered bucket is enough.
			if tc.tamper != nil && (tc.aws == nil || store.name == "memory") {
				continue
			}
			t.Run(store.name+"/"+tc.name, func(t *testing.T) {
				b := newBucket(t, store, fmt.Sprintf("validate-%d", i))
				want, exit := []string{"6/6 digest files valid", "11/11 log files valid"}, 0
				if tc.tamper != nil {
					tc.tamper(t, b)
					want, exit = tc.aws(b), 1
				}
				for _, c := range clis {
					t.Run(c.Version, func(t *testing.T) {
						out, got := c.validate(t, b, "")
						if got != exit {
							t.Errorf("exit code %d, want %d", got, exit)
						}
						for _, line := range want {
							if !strings.Contains(out, line) {
								t.Errorf("it does not say %q", line)
							}
						}
						if t.Failed() {
							t.Log(out)
						}
					})
				}
			})
		}
	}
}

// TestOurs runs our verifier on the same trails, and on those that the AWS CLI
// takes for valid.
func TestOurs(t *testing.T) {
	for _, store := range backends(t) {
		for i, tc := range append([]tampering{{name: "untouched"}}, tamperings...) {
			t.Run(store.name+"/"+tc.name, func(t *testing.T) {
				b := newBucket(t, store, fmt.Sprintf("ours-%d", i))
				if tc.tamper == nil {
					b.wantFindings(t)
					return
				}
				tc.tamper(t, b)
				b.wantFindings(t, tc.ours(b)...)
			})
		}
	}
}
