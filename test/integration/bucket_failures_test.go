package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
	"github.com/trail-operator/trail-operator/internal/receiverstatus"
	"github.com/trail-operator/trail-operator/test/testenv"
)

// TestServerLacksFeatures: what protects nothing is left out and named; what
// protects stops a trail before it begins; and what a server takes and ignores is
// seen.
func TestServerLacksFeatures(t *testing.T) {
	e := startOn(t, testenv.StartVersityGW, testenv.S3Options{})
	ns := e.tenant(t, "lacks", e.owner())
	trail := e.create(t, ns, func(d *v1alpha1.Destination) {
		d.Versioning = v1alpha1.VersioningEnabled
		d.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockGovernance, Days: 3}
		d.Lifecycle = &v1alpha1.Lifecycle{ExpireAfterDays: 30}
		d.Tags = []v1alpha1.Tag{{Key: "team", Value: "shop"}}
	})
	condition(t, trail, "BucketReady", "True FeatureNotSupported", "what the spec asks for with lifecycle; it is left out")
	condition(t, trail, "Ready", "True Recording")
	lock, err := e.sdk().GetObjectLockConfiguration(t.Context(), &s3.GetObjectLockConfigurationInput{Bucket: &ns})
	if err != nil || aws.ToInt32(lock.ObjectLockConfiguration.Rule.DefaultRetention.Days) != 3 {
		t.Errorf("object lock: %+v, %v", lock, err)
	}

	encrypt := func(d *v1alpha1.Destination) { d.Encryption = &v1alpha1.Encryption{Type: v1alpha1.EncryptionS3} }
	unable := e.create(t, e.tenant(t, "lacks-encryption", e.owner()), encrypt)
	condition(t, unable, "BucketReady", "False ProtectionMissing", "is without what spec.destination.encryption asks for")
	ignored := e.tenant(t, "ignores-encryption", e.owner())
	if _, err := e.sdk().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &ignored}); err != nil {
		t.Fatal(err)
	}
	unaware := e.create(t, ignored, encrypt, func(d *v1alpha1.Destination) { d.ManagementPolicy = v1alpha1.PolicyObserve })
	condition(t, unaware, "BucketReady", "False EncryptionIgnored", "stores objects unencrypted")
	for _, trail := range []*v1alpha1.Trail{unable, unaware} {
		if e.receiver.trail(string(trail.UID)) != nil {
			t.Errorf("%s was rendered without its protection", trail.Namespace)
		}
	}
	// A bucket without object lock cannot get it any more.
	unlocked := e.tenant(t, "unlocked", e.owner())
	if _, err := e.sdk().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &unlocked}); err != nil {
		t.Fatal(err)
	}
	late := e.create(t, unlocked, func(d *v1alpha1.Destination) {
		d.ObjectLock = &v1alpha1.ObjectLock{Mode: v1alpha1.LockCompliance, Days: 3}
	})
	condition(t, late, "BucketReady", "False ProtectionMissing", "spec.destination.objectLock", "must be created with object lock")
}

// TestBucketOfSomebodyElse: neither its content nor its name is the trail's.
func TestBucketOfSomebodyElse(t *testing.T) {
	e := startOn(t, testenv.StartVersityGW, testenv.S3Options{})
	stranger, err := e.server.NewVersityUser(t.Context(), "stranger")
	if err != nil {
		t.Fatal(err)
	}
	ns := e.tenant(t, "of-somebody-else", stranger)
	if _, err := e.sdk().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	trail := e.create(t, ns)
	condition(t, trail, "BucketReady", "False AccessDenied",
		"The bucket of-somebody-else may not be used with the credentials in the Secret bucket. Allow s3:ListBucket", "kubectl trail bucket-policy")
	condition(t, trail, "Reconciling", "True Retrying")
	// Who may not create buckets is told that there is none.
	none := e.create(t, e.tenant(t, "of-nobody", stranger))
	condition(t, none, "BucketReady", "False BucketNotFound", "The bucket of-nobody does not exist and could not be created. Create it, or allow the credentials in the Secret bucket to.")
}

// TestServerOfAnotherPlace: a wrong region, a server that does not answer, and one
// whose certificate is of a CA of its own.
func TestServerOfAnotherPlace(t *testing.T) {
	ca, certFile, keyFile := authority(t)
	e := startOn(t, testenv.StartVersityGW, testenv.S3Options{CertFile: certFile, KeyFile: keyFile})
	trusted := func(d *v1alpha1.Destination) { d.CA = ca }
	trail := e.create(t, e.tenant(t, "trusted", e.owner()), trusted)
	condition(t, trail, "Ready", "True Recording")
	if string(e.receiver.trail(string(trail.UID)).Destination.CA) != ca {
		t.Error("the receiver does not get the CA")
	}
	condition(t, e.create(t, e.tenant(t, "not-trusted", e.owner())), "BucketReady", "False CertificateNotTrusted", "put its CA into spec.destination.ca")
	foreign := e.create(t, e.tenant(t, "foreign-region", e.owner()), trusted, func(d *v1alpha1.Destination) { d.Region = "eu-west-9" })
	condition(t, foreign, "BucketReady", "False WrongRegion", "is not in the region eu-west-9. Set spec.destination.region to the region that it is in.")
	away := e.create(t, e.tenant(t, "away", e.owner()), func(d *v1alpha1.Destination) { d.Endpoint = "http://" + closed(t) })
	condition(t, away, "BucketReady", "False EndpointUnreachable", "does not answer. Check spec.destination.endpoint, the server and the network between.")
	condition(t, away, "Reconciling", "True Retrying")
	// It is the server that is away: what works goes on.
	e.server.Stop()
	e.look(t, trail)
	condition(t, trail, "BucketReady", "False EndpointUnreachable")
	condition(t, trail, "Receiving", "True ConfigurationInForce")
}

// closed is an address where nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// authority makes a CA, and files with a certificate of it for this machine.
func authority(t *testing.T) (ca, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, content := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(cert), certFile, keyFile
}

// TestCredentialsChange: a running trail goes on with the credentials that it has
// until there are others, and takes over those that are new.
func TestCredentialsChange(t *testing.T) {
	e := startOn(t, testenv.StartVersityGW, testenv.S3Options{})
	ns := e.tenant(t, "rotated", e.owner())
	trail := e.create(t, ns)
	condition(t, trail, "Ready", "True Recording")
	rendered := func() string { return e.receiver.trail(string(trail.UID)).Destination.AccessKeyID }
	secret := func() *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bucket"}}
	}
	if err := admin.Delete(t.Context(), secret()); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "BucketReady", "False CredentialsNotFound", "There is no Secret bucket in the namespace rotated. Create it with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
	condition(t, trail, "Ready", "False CredentialsNotFound")
	condition(t, trail, "Receiving", "True ConfigurationInForce")
	if rendered() != e.server.AccessKey {
		t.Errorf("the receiver has the credentials %q", rendered())
	}
	// Those that come are wrong at first.
	s := secret()
	s.StringData = keysOf(testenv.S3User{AccessKey: "AKIAWRONG", SecretKey: "planted-secret"})
	if err := admin.Create(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "BucketReady", "False InvalidCredentials", "does not know the credentials in the Secret bucket. Correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in it.")
	condition(t, trail, "Receiving", "True ConfigurationInForce")
	// Another user, whom the bucket's policy allows what it needs.
	next, err := e.server.NewVersityUser(t.Context(), "next-writer")
	if err != nil {
		t.Fatal(err)
	}
	e.allow(t, trail, next.AccessKey)
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(s), s); err != nil {
		t.Fatal(err)
	}
	s.StringData = keysOf(next)
	if err := admin.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "Ready", "True Recording")
	eventually(t, func() string {
		if got := rendered(); got != next.AccessKey {
			return "the new credentials at the receiver, not " + got
		}
		return ""
	})
}

// TestDeleteWithoutBucket: a trail whose bucket is gone says so while it goes,
// and does not hang.
func TestDeleteWithoutBucket(t *testing.T) {
	e := startOn(t, testenv.StartVersityGW, testenv.S3Options{})
	ns := e.tenant(t, "gone-bucket", e.owner())
	trail := e.create(t, ns, func(d *v1alpha1.Destination) { d.ManagementPolicy = v1alpha1.PolicyObserve })
	if _, err := e.sdk().CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "Ready", "True Recording")
	for _, key := range e.keys(t, ns) {
		if _, err := e.sdk().DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &ns, Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := e.sdk().DeleteBucket(t.Context(), &s3.DeleteBucketInput{Bucket: &ns}); err != nil {
		t.Fatal(err)
	}
	e.look(t, trail)
	condition(t, trail, "BucketReady", "False BucketNotFound", "The bucket gone-bucket does not exist, and this trail may only observe it. Create it.")
	// What the receiver says of it then.
	e.receiver.set(string(trail.UID), func(s *receiverstatus.Trail) {
		s.DeliveryError = &receiverstatus.Failure{Reason: receiverstatus.ReasonNoBucket, Code: "NoSuchBucket", Since: time.Now()}
	})
	e.clock.step(-time.Until(e.clock.Now())) // the deletion counts from the API server's time
	if err := admin.Delete(t.Context(), trail); err != nil {
		t.Fatal(err)
	}
	condition(t, trail, "Delivering", "False BucketNotFound", "The bucket gone-bucket does not exist")
	e.clock.step(11 * time.Minute)
	gone(t, trail)
	hasEvent(t, ns, "Abandoned", "The receiver keeps them for 30 days.")

	// One that never had a bucket goes at once.
	never := e.create(t, e.tenant(t, "never-bucket", e.owner()), func(d *v1alpha1.Destination) { d.ManagementPolicy = v1alpha1.PolicyObserve })
	condition(t, never, "BucketReady", "False BucketNotFound")
	if err := admin.Delete(t.Context(), never); err != nil {
		t.Fatal(err)
	}
	gone(t, never)
}

func (e *s3env) keys(t *testing.T, bucket string) (keys []string) {
	t.Helper()
	list, err := e.sdk().ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}
