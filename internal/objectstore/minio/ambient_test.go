package minio_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
)

// environment sets the variables by which a process gets credentials, and
// clears all others.
func environment(t *testing.T, set map[string]string) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_ROLE_SESSION_NAME", "AWS_REGION", "AWS_ENDPOINT_URL_STS", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
		"AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_DISABLED",
	} {
		t.Setenv(name, set[name])
	}
}

// bucketServer answers every request, and keeps with which credentials it came.
func bucketServer(t *testing.T) (server *httptest.Server, seen func() string) {
	t.Helper()
	var last atomic.Pointer[string]
	server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
		key, _, _ := strings.Cut(rest, "/")
		with := key + " " + r.Header.Get("X-Amz-Security-Token")
		last.Store(&with)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"e"`)
		fmt.Fprint(w, `<ListBucketResult/>`)
	})
	return server, func() string {
		if s := last.Swap(nil); s != nil {
			return *s
		}
		return ""
	}
}

func ambientStore(t *testing.T, server *httptest.Server) objectstore.Store {
	t.Helper()
	return open(t, server, func(c *objectstore.Config) { c.AccessKey, c.SecretKey, c.Ambient = "", "", true })
}

// tokenService is an STS that gives credentials of the given lifetime for the
// token "good".
func tokenService(t *testing.T, life time.Duration) (server *httptest.Server, calls *atomic.Int64) {
	t.Helper()
	calls = new(atomic.Int64)
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := calls.Add(1)
		if r.PostFormValue("Action") != "AssumeRoleWithWebIdentity" || r.PostFormValue("RoleArn") != "arn:aws:iam::1:role/r" ||
			r.PostFormValue("WebIdentityToken") != "good" {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>%s</Message></Error></ErrorResponse>`, secret)
			return
		}
		fmt.Fprintf(w, `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>`+
			`<Credentials><AccessKeyId>role-%d</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>`+
			`<Expiration>%s</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`,
			n, time.Now().Add(life).UTC().Format(time.RFC3339))
	}), calls
}

func tokenFile(t *testing.T, token string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(path, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAmbientEnvironment(t *testing.T) {
	server, seen := bucketServer(t)
	environment(t, map[string]string{"AWS_ACCESS_KEY_ID": "env-key", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "env-token"})
	if err := ambientStore(t, server).CheckBucket(t.Context(), ""); err != nil || seen() != "env-key env-token" {
		t.Errorf("got %v", err)
	}
	// The environment is for those who ask for it.
	if err := open(t, server, nil).CheckBucket(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if got := seen(); got != "access-key " {
		t.Errorf("a store with credentials of its own uses %q", got)
	}
	if _, err := minio.New(objectstore.Config{Endpoint: server.URL, Bucket: "bucket"}); err == nil {
		t.Error("a store without credentials must not take those of the environment")
	}
	if _, err := minio.New(objectstore.Config{Endpoint: server.URL, Bucket: "bucket", AccessKey: "a", SecretKey: "s", Ambient: true}); err == nil {
		t.Error("a store has given credentials or ambient ones, not both")
	}
}

// TestAmbientWebIdentity: as with IRSA. All stores share what is fetched once,
// until it is about to expire.
func TestAmbientWebIdentity(t *testing.T) {
	server, seen := bucketServer(t)
	sts, calls := tokenService(t, time.Hour)
	environment(t, map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFile(t, "good"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": sts.URL,
	})
	for range 3 {
		s := ambientStore(t, server)
		if err := s.CheckBucket(t.Context(), ""); err != nil || seen() != "role-1 t" {
			t.Fatalf("CheckBucket: %v", err)
		}
		if err := put(t, s, "key", "body"); err != nil || seen() != "role-1 t" {
			t.Fatalf("Create: %v", err)
		}
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("the credentials were fetched %d times", n)
	}
	b, err := minio.NewManaged(objectstore.Config{Endpoint: server.URL, Bucket: "bucket", Ambient: true, AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetPolicy(t.Context(), "{}"); err != nil || seen() != "role-1 t" {
		t.Errorf("SetPolicy: %v", err)
	}
}

func TestAmbientIsRefreshed(t *testing.T) {
	server, seen := bucketServer(t)
	sts, _ := tokenService(t, -time.Second) // expired when it arrives
	environment(t, map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFile(t, "good"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": sts.URL,
	})
	s := ambientStore(t, server)
	for i := range 3 {
		if err := s.CheckBucket(t.Context(), ""); err != nil || seen() != fmt.Sprintf("role-%d t", i+1) {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// TestAmbientContainer: ECS and EKS Pod Identity, at an address given in full.
func TestAmbientContainer(t *testing.T) {
	server, seen := bucketServer(t)
	agent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "pod-token" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprintf(w, `{"AccessKeyId":"pod","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	})
	for name, env := range map[string]map[string]string{
		"token": {"AWS_CONTAINER_AUTHORIZATION_TOKEN": "pod-token"},
		"file":  {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": tokenFile(t, "pod-token")},
	} {
		t.Run(name, func(t *testing.T) {
			env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = agent.URL + "/v1/credentials"
			environment(t, env)
			if err := ambientStore(t, server).CheckBucket(t.Context(), ""); err != nil || seen() != "pod t" {
				t.Errorf("got %v", err)
			}
		})
	}
}

// transport answers in the place of addresses that tests cannot have.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAmbientTask: ECS gives a path on its own link-local address, EKS Pod
// Identity an address in full.
func TestAmbientTask(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"ECS": {map[string]string{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/0123"}, "http://169.254.170.2/v2/credentials/0123"},
		"EKS Pod Identity": {map[string]string{
			"AWS_CONTAINER_CREDENTIALS_FULL_URI":     "http://169.254.170.23/v1/credentials",
			"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": tokenFile(t, "pod-token"),
		}, "http://169.254.170.23/v1/credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, tc.env)
			var asked string
			v, err := minio.AmbientOver(transport(func(r *http.Request) (*http.Response, error) {
				asked = r.URL.String()
				w := httptest.NewRecorder()
				fmt.Fprintf(w, `{"AccessKeyId":"task","SecretAccessKey":"s","Token":"t","Expiration":%q}`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
				return w.Result(), nil
			}))
			if err != nil || asked != tc.want || v.AccessKeyID != "task" || v.SessionToken != "t" {
				t.Errorf("asked %q: %+v, %v", asked, v.AccessKeyID, err)
			}
		})
	}
}

// TestAmbientMachine: the metadata service of EC2, second version.
func TestAmbientMachine(t *testing.T) {
	server, seen := bucketServer(t)
	metadata := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token":
			fmt.Fprint(w, "session")
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "session":
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/security-credentials/"):
			fmt.Fprint(w, "the-role\n")
		case strings.HasSuffix(r.URL.Path, "/the-role"):
			fmt.Fprintf(w, `{"Code":"Success","AccessKeyId":"machine","SecretAccessKey":"s","Token":"t","Expiration":%q}`,
				time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
		}
	})
	environment(t, map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL + "/"})
	if err := ambientStore(t, server).CheckBucket(t.Context(), ""); err != nil || seen() != "machine t" {
		t.Errorf("got %v", err)
	}
}

// TestNoAmbientCredentials: without credentials nothing is sent, not even
// without a signature, and the error says where they should come from.
func TestNoAmbientCredentials(t *testing.T) {
	server, seen := bucketServer(t)
	refusing, _ := tokenService(t, time.Hour)
	endless := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 10 {
			if _, err := w.Write([]byte(strings.Repeat(" ", 1<<10))); err != nil {
				return
			}
		}
	})
	elsewhere := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, refusing.URL, http.StatusTemporaryRedirect)
	})
	identity := func(file, sts string) map[string]string {
		return map[string]string{"AWS_WEB_IDENTITY_TOKEN_FILE": file, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": sts}
	}
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"nothing":               {map[string]string{"AWS_EC2_METADATA_DISABLED": "true"}, "environment"},
		"half a pair":           {map[string]string{"AWS_ACCESS_KEY_ID": "a", "AWS_EC2_METADATA_DISABLED": "true"}, "environment"},
		"no metadata service":   {map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"}, "metadata service"},
		"refused by the STS":    {identity(tokenFile(t, "bad"), refusing.URL), "STS"},
		"no token":              {identity("/missing/file", refusing.URL), "STS"},
		"no STS":                {identity(tokenFile(t, "good"), "http://127.0.0.1:1"), "STS"},
		"endless answer":        {identity(tokenFile(t, "good"), endless.URL), "STS"},
		"redirected":            {identity(tokenFile(t, "good"), elsewhere.URL), "STS"},
		"no container agent":    {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1"}, "container"},
		"an agent somewhere":    {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/"}, "container"},
		"an agent of no answer": {map[string]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI": endless.URL}, "container"},
	} {
		t.Run(name, func(t *testing.T) {
			environment(t, tc.env)
			s := ambientStore(t, server)
			for op, err := range map[string]error{"CheckBucket": s.CheckBucket(t.Context(), ""), "Create": put(t, s, "key", "body")} {
				if !errors.Is(err, objectstore.ErrBadCredentials) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), secret) {
					t.Errorf("%s: want an error about the %s, got %v", op, tc.want, err)
				}
			}
			if got := seen(); got != "" {
				t.Errorf("the bucket was asked all the same, with %q", got)
			}
		})
	}
}

// TestAmbientAddresses: what gives credentials is on addresses that a store
// must not reach, and reaching the one allows nothing for the other.
func TestAmbientAddresses(t *testing.T) {
	server, seen := bucketServer(t)
	sts, calls := tokenService(t, time.Hour)
	environment(t, map[string]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE": tokenFile(t, "good"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r", "AWS_ENDPOINT_URL_STS": sts.URL,
	})
	s := open(t, server, func(c *objectstore.Config) {
		c.AccessKey, c.SecretKey, c.Ambient, c.AllowPrivate = "", "", true, false
	})
	if err := s.CheckBucket(t.Context(), ""); !errors.Is(err, objectstore.ErrForbiddenAddress) {
		t.Errorf("a store on loopback: got %v", err)
	}
	if calls.Load() != 1 || seen() != "" {
		t.Error("the credentials should have been fetched, and the store not reached")
	}
	// A tenant who names the service as his endpoint does not reach it.
	tenant := open(t, sts, func(c *objectstore.Config) { c.AllowPrivate = false })
	if err := tenant.CheckBucket(t.Context(), ""); !errors.Is(err, objectstore.ErrForbiddenAddress) || calls.Load() != 1 {
		t.Errorf("an endpoint that gives credentials: got %v", err)
	}
}

// TestPathStyle: on AWS the bucket is in the host name, unless the path is
// asked for.
func TestPathStyle(t *testing.T) {
	for _, path := range []bool{false, true} {
		s, err := minio.NewManaged(objectstore.Config{
			Region: "eu-west-1", Bucket: "bucket", AccessKey: "a", SecretKey: "s", PathStyle: path, DenyHosts: []string{"127.0.0.1"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/?policy="
		if path {
			want = "https://s3.dualstack.eu-west-1.amazonaws.com/bucket/?policy="
		}
		if got := minio.Address(t, s); got != want {
			t.Errorf("path style %v: want %s, got %s", path, want, got)
		}
	}
}
