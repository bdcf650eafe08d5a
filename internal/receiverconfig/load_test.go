package receiverconfig

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/record"
)

const secret = "wJalrXUtnFEMI-planted-secret"

func validTrail() Trail {
	return Trail{
		UID: "7b0c5a52-0000-4000-8000-000000000001", Name: "team-a.audit", Namespace: "team-a",
		ARN: "arn:k8s:cloudtrail:eu-1:000000000042:trail/team-a.audit", Generation: 3,
		Destination: Destination{
			Bucket: "logs", Region: "us-east-1", Prefix: "team-a/audit",
			AccessKeyID: "AKIA", SecretAccessKey: secret, PathStyle: true,
			Encryption: Encryption{Type: EncryptionKMS, KMSKeyID: "arn:aws:kms:eu-west-1:123456789012:key/1-2"},
			Retention:  Retention{Mode: RetentionCompliance, Days: 30},
		},
		Lifecycle:         []record.LifecycleRule{{Objects: record.LifecycleLogs, ExpireDays: 365, TransitionDays: 30, StorageClass: "GLACIER"}},
		Selection:         v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{}}},
		LogFileValidation: true, MaxFileAgeSeconds: 300, MaxFileSizeMiB: 64,
	}
}

// folder is a configuration folder before it is written.
type folder struct {
	config Config
	files  map[string][]byte
}

func validFolder() *folder {
	t := validTrail()
	f := &folder{
		config: Config{
			Version: Version, Generation: 7,
			Installation:   Installation{UID: "u", Account: "000000000042", Region: "eu-1"},
			TrustedProxies: []string{"10.0.0.0/8"},
		},
		files: map[string][]byte{
			FileServerCert: []byte("cert"), FileServerKey: []byte("key"),
			FileClientCA: []byte("ca"), FileSigningKey: []byte("rsa"),
			TrailFile(t.UID): record.MustJSON(t),
		},
	}
	f.list()
	return f
}

// list makes receiver.json list the files as they are.
func (f *folder) list() {
	f.config.Files = map[string]string{}
	for name, b := range f.files {
		f.config.Files[name] = record.HexSHA256(b)
	}
}

func (f *folder) trail(change func(*Trail)) {
	t := validTrail()
	change(&t)
	f.files[TrailFile(validTrail().UID)] = record.MustJSON(t)
	f.list()
}

func (f *folder) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	files := maps.Clone(f.files)
	if _, ok := files[FileConfig]; !ok {
		files[FileConfig] = record.MustJSON(f.config)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func encryption(e Encryption) func(*folder) {
	return func(f *folder) { f.trail(func(t *Trail) { t.Destination.Encryption = e }) }
}

func retention(r Retention) func(*folder) {
	return func(f *folder) { f.trail(func(t *Trail) { t.Destination.Retention = r }) }
}

func rules(list ...record.LifecycleRule) func(*folder) {
	return func(f *folder) { f.trail(func(t *Trail) { t.Lifecycle = list }) }
}

func TestLoad(t *testing.T) {
	f := validFolder()
	f.files["left-over.txt"] = []byte("not listed, so ignored")
	got, err := Load(f.write(t))
	if err != nil {
		t.Fatal(err)
	}
	want := &Loaded{
		Config: f.config, Trails: []Trail{validTrail()},
		ServerCert: []byte("cert"), ServerKey: []byte("key"), ClientCA: []byte("ca"), SigningKey: []byte("rsa"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestLoadIncomplete(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"no config":     func(dir string) error { return os.Remove(filepath.Join(dir, FileConfig)) },
		"file missing":  func(dir string) error { return os.Remove(filepath.Join(dir, FileServerKey)) },
		"file is older": func(dir string) error { return os.WriteFile(filepath.Join(dir, FileClientCA), []byte("old"), 0o600) },
		"trail is newer": func(dir string) error {
			n := validTrail()
			n.Generation++
			return os.WriteFile(filepath.Join(dir, TrailFile(n.UID)), record.MustJSON(n), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := validFolder().write(t)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(dir); !errors.Is(err, ErrIncomplete) {
				t.Errorf("got %v, want ErrIncomplete", err)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	uid := validTrail().UID
	tests := map[string]struct {
		change func(*folder)
		want   string
	}{
		"other version":        {func(f *folder) { f.config.Version = 2 }, "format version 2"},
		"no generation":        {func(f *folder) { f.config.Generation = 0 }, "generation is missing"},
		"account":              {func(f *folder) { f.config.Installation.Account = "42" }, "12 digits"},
		"region":               {func(f *folder) { f.config.Installation.Region = "eu_1" }, "region"},
		"organization":         {func(f *folder) { f.config.Installation.Organization = "o-short" }, "organization"},
		"proxy":                {func(f *folder) { f.config.TrustedProxies = []string{"10.0.0.1"} }, "trusted proxy"},
		"refused":              {func(f *folder) { f.config.RefusedCertificates = []string{"aa"} }, "hex SHA-256"},
		"refused too many":     {func(f *folder) { f.config.RefusedCertificates = make([]string, MaxRefused+1) }, "refuses more than"},
		"config not JSON":      {func(f *folder) { f.files[FileConfig] = []byte(`{`) }, "not valid JSON"},
		"config unknown field": {func(f *folder) { f.files[FileConfig] = []byte(`{"zone":1}`) }, `unknown field "zone"`},
		"data behind": {func(f *folder) {
			f.files[FileConfig] = append(record.MustJSON(f.config), '{')
		}, "after the end"},
		"no signing key": {func(f *folder) { delete(f.files, FileSigningKey); f.list() }, "does not list signing.key"},
		"unknown name":   {func(f *folder) { f.config.Files["../etc/passwd"] = "00" }, "unknown name"},
		"path as UID":    {func(f *folder) { f.config.Files["trail-../x.json"] = "00" }, "unknown name"},
		"config too long": {func(f *folder) {
			f.files[FileConfig] = make([]byte, MaxConfigSize+1)
		}, "longer than"},
		"trail too long": {func(f *folder) {
			f.files[TrailFile(uid)] = make([]byte, MaxTrailSize+1)
			f.list()
		}, "longer than"},
		"PEM too long": {func(f *folder) { f.files[FileClientCA] = make([]byte, MaxPEMSize+1); f.list() }, "longer than"},
		"trail unknown field": {func(f *folder) {
			f.files[TrailFile(uid)] = []byte(`{"uid":"` + uid + `","color":"red"}`)
			f.list()
		}, `unknown field "color"`},
		"trail wrong type": {func(f *folder) {
			f.files[TrailFile(uid)] = []byte(`{"generation":"` + secret + `"}`)
			f.list()
		}, "not valid JSON"},
		"trail of another":   {func(f *folder) { f.trail(func(t *Trail) { t.UID = "other" }) }, "holds the trail"},
		"trail name":         {func(f *folder) { f.trail(func(t *Trail) { t.Name = "team-a.a--b" }) }, "CloudTrail name"},
		"foreign namespace":  {func(f *folder) { f.trail(func(t *Trail) { t.Namespace = "team-b" }) }, "namespace"},
		"no ARN":             {func(f *folder) { f.trail(func(t *Trail) { t.ARN = "" }) }, "ARN"},
		"no bucket":          {func(f *folder) { f.trail(func(t *Trail) { t.Destination.Bucket = "" }) }, "bucket"},
		"prefix climbs":      {func(f *folder) { f.trail(func(t *Trail) { t.Destination.Prefix = "a/../b" }) }, "prefix"},
		"prefix in a tree":   {func(f *folder) { f.trail(func(t *Trail) { t.Destination.Prefix = "a/AWSLogs/1" }) }, "prefix"},
		"prefix with slash":  {func(f *folder) { f.trail(func(t *Trail) { t.Destination.Prefix = "a/" }) }, "prefix"},
		"file age":           {func(f *folder) { f.trail(func(t *Trail) { t.MaxFileAgeSeconds = 5 }) }, "maxFileAgeSeconds"},
		"file size":          {func(f *folder) { f.trail(func(t *Trail) { t.MaxFileSizeMiB = 65 }) }, "maxFileSizeMiB"},
		"ambient with keys":  {func(f *folder) { f.trail(func(t *Trail) { t.Destination.Ambient = true }) }, "either given or ambient"},
		"encryption type":    {encryption(Encryption{Type: "rot13"}), "neither AES256 nor aws:kms"},
		"encryption in caps": {encryption(Encryption{Type: "AWS:KMS"}), "neither AES256 nor aws:kms"},
		"key without type":   {encryption(Encryption{KMSKeyID: "key"}), "no type"},
		"key of the store":   {encryption(Encryption{Type: EncryptionS3, KMSKeyID: "key"}), "no KMS key"},
		"key as a header":    {encryption(Encryption{Type: EncryptionKMS, KMSKeyID: "a\r\nX-Amz-Acl: public-read"}), "not an ID"},
		"key too long":       {encryption(Encryption{Type: EncryptionKMS, KMSKeyID: strings.Repeat("k", 2049)}), "not an ID"},
		"retention mode":     {retention(Retention{Mode: "governance", Days: 1}), "neither GOVERNANCE"},
		"retention of none":  {retention(Retention{Days: 1}), "neither GOVERNANCE"},
		"retention no days":  {retention(Retention{Mode: RetentionGovernance}), "days of the retention"},
		"retention for ever": {retention(Retention{Mode: RetentionGovernance, Days: 36501}), "days of the retention"},
		"rule of others":     {rules(record.LifecycleRule{Objects: "all", ExpireDays: 1}), "neither logs nor digests"},
		"rule for nothing":   {rules(record.LifecycleRule{Objects: record.LifecycleLogs}), "does nothing"},
		"rule of the past":   {rules(record.LifecycleRule{Objects: record.LifecycleLogs, ExpireDays: -1}), "days of a lifecycle rule"},
		"rule to nowhere":    {rules(record.LifecycleRule{Objects: record.LifecycleLogs, ExpireDays: 9, TransitionDays: 1}), "no storage class"},
		"storage class":      {rules(record.LifecycleRule{Objects: record.LifecycleLogs, StorageClass: "a b"}), "storage class"},
		"too many rules":     {rules(make([]record.LifecycleRule, 17)...), "more than 16"},
		"generation is zero": {func(f *folder) { f.trail(func(t *Trail) { t.Generation = 0 }) }, "generation"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := validFolder()
			tc.change(f)
			_, err := Load(f.write(t))
			if err == nil || errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want a refusal that says %q", err, tc.want)
			}
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes a secret: %v", err)
			}
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	c := validFolder().config
	c.Files = map[string]string{}
	for i := range MaxFiles + 1 {
		c.Files[TrailFile(strconv.Itoa(i))] = "00"
	}
	if _, err := ParseConfig(record.MustJSON(c)); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseTrail(f *testing.F) {
	f.Add(record.MustJSON(validTrail()))
	f.Add([]byte(`{"uid":"a","selection":{"advanced":[{"fieldSelectors":[]}]}}`))
	f.Add([]byte(`{"uid":"a","generation":"1","later":{"a":[]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		trail, err := ParseTrail(b)
		if recovered, ok := RecoverTrail(b); ok {
			if again, ok := RecoverTrail(record.MustJSON(recovered)); !ok || again.UID != recovered.UID {
				t.Errorf("recovered %+v once, then %+v", recovered, again)
			}
		} else if err == nil {
			t.Error("not recovered, although it can be loaded")
		}
		if err != nil {
			return
		}
		again, err := ParseTrail(record.MustJSON(trail))
		if err != nil {
			t.Fatalf("accepted once, then refused: %v", err)
		}
		if d := cmp.Diff(record.MustJSON(trail), record.MustJSON(again)); d != "" {
			t.Error(d)
		}
	})
}

func FuzzParseConfig(f *testing.F) {
	f.Add(record.MustJSON(validFolder().config))
	f.Add([]byte(`{"version":1,"files":{"trail-.json":""}}`))
	f.Add([]byte(`{"version":"2","generation":7,"kinds":{"snapshot":3},"forwardTo":{"url":"http://a","timeoutSeconds":1,"queueBytes":16777216}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		// What is recovered fits into one that can be loaded.
		whole := validFolder().config
		recovered := RecoverConfig(b)
		whole.Generation, whole.Kinds, whole.ForwardTo = recovered.Generation/2+1, recovered.Kinds, recovered.ForwardTo
		if _, err := ParseConfig(record.MustJSON(whole)); err != nil {
			t.Errorf("recovered %+v: %v", recovered, err)
		}
		if err != nil {
			return
		}
		for name := range c.Files {
			if filepath.Base(name) != name {
				t.Errorf("accepted the file name %q", name)
			}
		}
	})
}
