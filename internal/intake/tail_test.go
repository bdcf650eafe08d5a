package intake

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/spool"
	"github.com/trail-operator/trail-operator/internal/spool/pebble"
)

// issuer makes tokens as an API server does.
type issuer struct {
	t   testing.TB
	key *ecdsa.PrivateKey
	id  string
}

func newIssuer(t testing.TB, id string) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{t, key, id}
}

// config lets in whom the issuers have given tokens.
func tailConfig(t testing.TB, issuers ...*issuer) *receiverconfig.Tail {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, i := range issuers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: i.key.Public(), KeyID: i.id, Use: "sig"})
	}
	keys, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	return &receiverconfig.Tail{Issuer: "https://kubernetes.default.svc", Keys: keys, Namespace: "trails"}
}

// token is one for the tail of a node, with changes.
func (i *issuer) token(node string, now time.Time, changes ...string) string {
	i.t.Helper()
	claims := fmt.Sprintf(`{"iss":"https://kubernetes.default.svc","aud":["trail-receiver"],"sub":"system:serviceaccount:trails:trail-tail","iat":%d,"nbf":%[1]d,"exp":%d,`+
		`"kubernetes.io":{"namespace":"trails","serviceaccount":{"name":"trail-tail"},"pod":{"name":"trail-tail-x"},"node":{"name":%q}}}`,
		now.Unix(), now.Add(time.Hour).Unix(), node)
	if len(changes) > 0 {
		changed := strings.NewReplacer(changes...).Replace(claims)
		if changed == claims {
			i.t.Fatalf("nothing changes in %s", claims)
		}
		claims = changed
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: i.key}, (&jose.SignerOptions{}).WithHeader("kid", i.id))
	if err != nil {
		i.t.Fatal(err)
	}
	signed, err := signer.Sign([]byte(claims))
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

const (
	tailA = "0b54a2d2-4d0e-4c40-9d6f-5f4c8b6b0a01"
	tailB = "0b54a2d2-4d0e-4c40-9d6f-5f4c8b6b0a02"
)

// letTailsIn is what the receiver does.
func (r *running) letTailsIn(issuers ...*issuer) {
	r.t.Helper()
	if err := r.handler.ConfigureTail(tailConfig(r.t, issuers...)); err != nil {
		r.t.Fatal(err)
	}
	r.certificates.LetIn(true)
}

// tailRequest is a POST of the tail of cp-1.
func (r *running) tailRequest(token, source string, sequence int, body string) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://"+r.address+path1, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set(receiverconfig.HeaderTailSource, source)
	req.Header.Set(receiverconfig.HeaderTailSequence, strconv.Itoa(sequence))
	return req
}

// do sends a request without a certificate and expects a status. It returns the text.
func (r *running) do(req *http.Request, want int) string {
	r.t.Helper()
	resp, err := r.client(nil, subject{}).Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	if resp.StatusCode != want {
		r.t.Fatalf("status %d (%s), want %d", resp.StatusCode, text, want)
	}
	return string(text)
}

// at makes events that differ in their audit IDs, a second after one another.
func at(first time.Time, ids ...string) []string {
	var list []string
	for i, id := range ids {
		list = append(list, strings.Replace(event(id), "2026-11-21T03:39:02.498580Z", first.Add(time.Duration(i)*time.Second).Format("2006-01-02T15:04:05.000000Z"), 1))
	}
	return list
}

// realSpool is one on a disk.
func realSpool(t testing.TB, dir string) spool.Spool {
	t.Helper()
	s, err := pebble.Open(dir, pebble.Options{ReserveBytes: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// auditIDs are those of what a spool holds after a position, in order, and by source.
func auditIDs(t testing.TB, s spool.Spool, after spool.Position) (ids []string, bySource map[string][]string) {
	t.Helper()
	bySource = map[string][]string{}
	err := s.Read(t.Context(), after, func(_ spool.Position, c *spool.Chunk) error {
		for item, err := range spool.Items(c.Data) {
			if err != nil {
				return err
			}
			if c.Kind != spool.KindAudit {
				continue
			}
			id, _, ok := strings.Cut(strings.TrimPrefix(string(item[:min(len(item), 100)]), `{"auditID":"`), `"`)
			if !ok {
				t.Errorf("an item without an audit ID: %.100s", item)
			}
			ids = append(ids, id)
			bySource[c.Source] = append(bySource[c.Source], id)
		}
		return nil
	}, func(d spool.Damaged) { t.Errorf("position %d: %s", d.Position, d.Reason) })
	if err != nil {
		t.Fatal(err)
	}
	return ids, bySource
}

func TestTailAuthentication(t *testing.T) {
	r := run(t, realSpool(t, t.TempDir()))
	api, foreign := newIssuer(t, "a"), newIssuer(t, "a")
	now := r.clock.Now()
	post := func(token string) *http.Request { return r.tailRequest(token, tailA, 1, list()) }

	if _, err := r.client(nil, subject{}).Do(post(api.token("cp-1", now))); err == nil {
		t.Fatal("without tails a client without a certificate is served")
	}
	r.letTailsIn(api)
	with := func(change func(*http.Request)) *http.Request {
		req := post(api.token("cp-1", now))
		change(req)
		return req
	}
	for name, c := range map[string]struct {
		req  *http.Request
		want int
		text string
	}{
		"right":                 {post(api.token("cp-1", now)), 200, ""},
		"no token":              {with(func(r *http.Request) { r.Header.Del("Authorization") }), 401, "a client certificate is required"},
		"another scheme":        {with(func(r *http.Request) { r.Header.Set("Authorization", "Basic a") }), 401, "a client certificate is required"},
		"empty token":           {post(""), 401, "no signed JWT"},
		"alg none":              {post("eyJhbGciOiJub25lIiwia2lkIjoiYSJ9.e30."), 401, "no signed JWT"},
		"forged":                {post(foreign.token("cp-1", now)), 401, "signature"},
		"of another cluster":    {post(newIssuer(t, "b").token("cp-1", now)), 401, "key"},
		"expired":               {post(api.token("cp-1", now.Add(-2*time.Hour))), 401, "expired"},
		"of the future":         {post(api.token("cp-1", now.Add(time.Hour))), 401, "not valid yet"},
		"another audience":      {post(api.token("cp-1", now, "trail-receiver", "api")), 401, "audience"},
		"another issuer":        {post(api.token("cp-1", now, "https://kubernetes.default.svc", "https://evil")), 401, "issuer"},
		"Kubernetes 1.28":       {post(api.token("cp-1", now, `,"node":{"name":"cp-1"}`, "")), 401, "Kubernetes 1.32"},
		"not of a pod":          {post(api.token("cp-1", now, `"pod":{"name":"trail-tail-x"},`, "")), 401, "pod"},
		"another account":       {post(api.token("cp-1", now, ":trail-tail", ":default", `"serviceaccount":{"name":"trail-tail"}`, `"serviceaccount":{"name":"default"}`)), 403, "ServiceAccount"},
		"another namespace":     {post(api.token("cp-1", now, "trails:", "team-a:", `"namespace":"trails"`, `"namespace":"team-a"`)), 403, "ServiceAccount"},
		"another node":          {post(api.token("cp-2", now)), 403, "another node"},
		"another cluster":       {with(func(r *http.Request) { r.URL.Path = PathPrefix + "210987654321/cp-1" }), 403, "another cluster"},
		"no API server":         {with(func(r *http.Request) { r.URL.Path = PathPrefix + account }), 404, "path"},
		"GET":                   {with(func(r *http.Request) { r.Method = http.MethodGet }), 405, ""},
		"no source":             {with(func(r *http.Request) { r.Header.Del(receiverconfig.HeaderTailSource) }), 400, "UUID"},
		"a source that is none": {with(func(r *http.Request) { r.Header.Set(receiverconfig.HeaderTailSource, "../../x") }), 400, "UUID"},
		"a source in another form": {with(func(r *http.Request) {
			r.Header.Set(receiverconfig.HeaderTailSource, "{"+tailA+"}")
		}), 400, "UUID"},
		"no sequence":       {with(func(r *http.Request) { r.Header.Del(receiverconfig.HeaderTailSequence) }), 400, "number"},
		"sequence 0":        {with(func(r *http.Request) { r.Header.Set(receiverconfig.HeaderTailSequence, "0") }), 400, "number"},
		"negative sequence": {with(func(r *http.Request) { r.Header.Set(receiverconfig.HeaderTailSequence, "-1") }), 400, "number"},
		"huge sequence":     {with(func(r *http.Request) { r.Header.Set(receiverconfig.HeaderTailSequence, "18446744073709551616") }), 400, "number"},
	} {
		t.Run(name, func(t *testing.T) {
			if text := r.do(c.req, c.want); !strings.Contains(text, c.text) {
				t.Errorf("got %q, want %q", text, c.text)
			}
		})
	}
	// Neither certificates nor the other paths changed.
	if _, _, err := r.post(r.client(newAuthority(t), apiServer1), path1, strings.NewReader(list())); err == nil {
		t.Error("a foreign certificate is let in")
	}
	if resp, _, err := r.post(r.client(r.clients, apiServer1), PathPrefix+account+"/cp-2", strings.NewReader(list())); err != nil || resp.StatusCode != 403 {
		t.Errorf("got %v, %v", resp, err)
	}
	r.send(list(event("webhook")), 200)

	// Keys rotate, and tails are switched off.
	next := newIssuer(t, "b")
	r.letTailsIn(api, next)
	r.do(post(next.token("cp-1", now)), 200)
	r.letTailsIn(next)
	r.do(post(api.token("cp-1", now)), 401)
	if err := r.handler.ConfigureTail(nil); err != nil {
		t.Fatal(err)
	}
	r.do(post(next.token("cp-1", now)), 401)
	r.certificates.LetIn(false)
	if _, err := r.client(nil, subject{}).Do(post(next.token("cp-1", now))); err == nil {
		t.Error("a client without a certificate is served")
	}
}

func TestTailSequence(t *testing.T) {
	dir := t.TempDir()
	s := realSpool(t, dir)
	r := run(t, s)
	api := newIssuer(t, "a")
	r.letTailsIn(api)
	now := r.clock.Now()
	token := api.token("cp-1", now)
	send := func(source string, sequence, want int, ids ...string) string {
		t.Helper()
		return r.do(r.tailRequest(token, source, sequence, list(at(now, ids...)...)), want)
	}
	stored := func(want ...string) {
		t.Helper()
		if got, _ := auditIDs(t, s, 0); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	send(tailA, 7, 200, "a", "b") // an old tail and a new volume
	send(tailA, 8, 200, "c")
	send(tailA, 8, 200, "c")
	stored("a", "b", "c")
	// A tail that was restored from a copy gives numbers out again: nothing is lost.
	send(tailA, 8, 200, "other", "c")
	send(tailA, 3, 200, "d", "a")
	stored("a", "b", "c", "other", "c", "d", "a") // at another time
	if got := testutil.ToFloat64(r.handler.metrics.tails.posts.WithLabelValues("behind")); got != 2 {
		t.Errorf("%v behind", got)
	}
	if got := send(tailA, 10, 409, "e"); got != `{"sequence":8}`+"\n" {
		t.Fatalf("got %q", got)
	}
	send(tailB, 1, 200, "f") // another state of the same node
	send(tailA, 9, 200, "e")
	stored("a", "b", "c", "other", "c", "d", "a", "f", "e")

	// A restart forgets nothing.
	r.stop()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = realSpool(t, dir)
	r = run(t, s)
	r.letTailsIn(api)
	send(tailA, 9, 200, "e")
	if got := send(tailA, 11, 409, "g"); got != `{"sequence":9}`+"\n" {
		t.Fatalf("got %q", got)
	}
	send(tailA, 10, 200, "h")
	stored("a", "b", "c", "other", "c", "d", "a", "f", "e", "h")

	tails, index := r.handler.Tails()
	if len(tails) != 2 || tails[0].Cluster != account || tails[0].APIServer != "cp-1" || index == nil || !index.Since.Equal(now) {
		t.Fatalf("%+v %+v", tails, index)
	}
	for _, tail := range tails {
		if tail.Source == tailA && (tail.Sequence != 10 || tail.Accepted != 1 || tail.Duplicates != 1 || tail.Newest == nil || !tail.Newest.Equal(now) || !tail.LastPost.Equal(now)) {
			t.Errorf("%+v", tail)
		}
	}
	for result, want := range map[string]float64{"stored": 1, "repeated": 1, "gap": 1} {
		if got := testutil.ToFloat64(r.handler.metrics.tails.posts.WithLabelValues(result)); got != want {
			t.Errorf("%s: %v", result, got)
		}
	}
}
