package main

import (
	"encoding/base64"
	"testing"

	"github.com/trail-operator/trail-operator/test/testenv"
)

func TestLeaks(t *testing.T) {
	d := &demo{s3: &testenv.S3Server{SecretKey: "A7KQ2M5XN4P6R3T1V9W8Y0Z2B5"}}
	if d.leaks([]byte(`{"nothing":"to hide"}`)) {
		t.Error("found a secret where there is none")
	}
	for _, before := range []string{"", "a", "ab", "abc"} {
		text := before + d.s3.SecretKey + "behind"
		if !d.leaks([]byte(text)) {
			t.Errorf("overlooked the secret in %q", text)
		}
		if encoded := base64.StdEncoding.EncodeToString([]byte(text)); !d.leaks([]byte(encoded)) {
			t.Errorf("overlooked the secret in %q", encoded)
		}
	}
}
