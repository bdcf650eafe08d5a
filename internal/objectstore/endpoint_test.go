package objectstore

import "testing"

func TestOrigin(t *testing.T) {
	for in, want := range map[string]string{
		"":                             "",
		"https://s3.example.com":       "https://s3.example.com:443",
		"https://s3.example.com:443":   "https://s3.example.com:443",
		"HTTPS://S3.Example.com:443/":  "https://s3.example.com:443",
		"https://s3.example.com:9000":  "https://s3.example.com:9000",
		"http://s3.example.com":        "http://s3.example.com:80",
		"https://[2001:DB8::1]":        "https://[2001:db8::1]:443",
		"s3.example.com":               "s3.example.com",
		"https://s3.example.com:\x00/": "https://s3.example.com:\x00/",
	} {
		if got := Origin(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
