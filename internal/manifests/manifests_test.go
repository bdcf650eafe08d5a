package manifests

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/pki"
	"github.com/trail-operator/trail-operator/internal/receiverconfig"
	"github.com/trail-operator/trail-operator/internal/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name string, v any) {
	t.Helper()
	got, ok := v.(string)
	if !ok {
		b, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		got = string(b)
	}
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s: %s", name, d)
	}
}

var installed = receiverconfig.Installation{UID: "11111111-1111-4111-8111-111111111111", Account: "000000000042", Region: "eu-1", Organization: "o-abcdefghij"}

func trail(change func(*v1alpha1.Trail)) *v1alpha1.Trail {
	t := &v1alpha1.Trail{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "audit", UID: types.UID("22222222-2222-4222-8222-222222222222"), Generation: 3},
		Spec: v1alpha1.TrailSpec{Destination: v1alpha1.Destination{
			Bucket: "logs", CredentialsSecretRef: &v1alpha1.CredentialsSecretRef{Name: "bucket"},
		}},
	}
	change(t)
	return t
}

func TestTrail(t *testing.T) {
	for name, change := range map[string]func(*v1alpha1.Trail){
		"minimal": func(*v1alpha1.Trail) {},
		"ambient": func(t *v1alpha1.Trail) {
			t.Namespace, t.Spec.Destination.CredentialsSecretRef = "", nil
			t.Spec.Destination.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionS3}
		},
		"full": func(t *v1alpha1.Trail) {
			t.Spec.Suspend = true
			t.Spec.Destination.AddressingStyle = v1alpha1.AddressingPath
			t.Spec.Destination.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionKMS, KMSKeyID: "alias/audit"}
			t.Spec.Destination.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 30}
			t.Spec.Destination.Endpoint, t.Spec.Destination.Region = "https://s3.example.com", "eu-2"
			t.Spec.Destination.Prefix, t.Spec.Destination.CA = "a/b", "-----BEGIN CERTIFICATE-----"
			t.Spec.EventSelectors = &v1alpha1.EventSelection{Basic: []v1alpha1.BasicEventSelector{{ReadWriteType: v1alpha1.WriteOnly}}}
			t.Spec.LogFileValidation.Mode = v1alpha1.ValidationDisabled
			t.Spec.Delivery = v1alpha1.Delivery{MaxFileAgeSeconds: 60, MaxFileSizeMiB: 1}
			t.Status.Head = &v1alpha1.DigestHead{
				TrailARN: "arn", ChainID: "chain", Sequence: 4, S3Bucket: "logs", S3Object: "key", HashValue: "hash",
				Signature: "signature", EndTime: "2026-01-02T03:00:00Z", Final: true, PublicKeyFingerprint: "f", PublicKeySHA256: "t",
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret", SessionToken: "token"}
			if name == "ambient" {
				c = Credentials{Ambient: true}
			}
			got := Trail(trail(change), installed, c, Reach{true, []string{"10.0.0.1:443"}})
			golden(t, "trail-"+name+".yaml", got)
			if _, err := receiverconfig.ParseTrail(record.MustJSON(got)); err != nil {
				t.Errorf("the receiver refuses it: %v", err)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	key := record.PublishedKey{Fingerprint: "ff", SHA256: "aa", Value: []byte("der"), ValidityStart: "2026-01-02T03:04:05Z"}
	for name, o := range map[string]any{
		"identity":      Identity("trail", installed.UID, installed.Account),
		"installation":  Installation("trail", installed, Described{"https://receiver:8443", "system:serviceaccount:trail:manager", "10.0.0.9", "2026-11-21T10:00:00Z"}),
		"certificate":   Certificate("trail", APIServerCertName("cp-1"), []byte("ca"), pki.KeyPair{Cert: []byte("cert"), Key: []byte("key")}),
		"signing-key":   SigningKey("trail", []byte("pem")),
		"digest-keys":   DigestKeys("trail", []record.PublishedKey{key}),
		"receiver":      ReceiverConfig("trail", ReceiverShardName(3), "77", map[string][]byte{"a": []byte("b")}),
		"grant":         GrantYAML("team-a", "bucket", Subject("system:serviceaccount:trail:manager")),
		"grant-to-user": GrantYAML("team-a", "bucket", Subject("manager@example.com")),
	} {
		golden(t, name+".yaml", o)
	}
}

func TestSubject(t *testing.T) {
	for user, want := range map[string]string{
		"system:serviceaccount:a:b": "ServiceAccount a/b",
		"system:serviceaccount:a":   "User /system:serviceaccount:a",
		"jane":                      "User /jane",
	} {
		s := Subject(user)
		if got := s.Kind + " " + s.Namespace + "/" + s.Name; got != want {
			t.Errorf("%s: %s, want %s", user, got, want)
		}
	}
}

// TestShards: trails spread over all shards, and those of tenants keep out of
// the shards of OrganizationTrails.
func TestShards(t *testing.T) {
	seen, organization := map[int]int{}, map[int]int{}
	for i := range 1600 {
		uid := fmt.Sprintf("%08d-2222-4222-8222-222222222222", i)
		seen[ReceiverShard(uid, false)]++
		organization[ReceiverShard(uid, true)]++
	}
	if len(seen) != 12 || len(organization) != 4 {
		t.Errorf("%d and %d shards are used", len(seen), len(organization))
	}
	for shard, n := range seen {
		if n > 300 || organization[shard] > 0 || shard >= ReceiverShards {
			t.Errorf("shard %d holds %d of 1600 trails, and %d OrganizationTrails", shard, n, organization[shard])
		}
	}
}

func TestGrantNameIsBounded(t *testing.T) {
	role, binding := Grant("a", strings.Repeat("s", 253), Subject("jane"))
	if len(role.Name) > 253 || binding.RoleRef.Name != role.Name {
		t.Errorf("%d characters, bound to %s", len(role.Name), binding.RoleRef.Name)
	}
}
