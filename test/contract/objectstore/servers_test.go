// Package objectstore checks, on real servers, what the project asks of an
// object store.
package objectstore

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trail-operator/trail-operator/internal/objectstore"
	"github.com/trail-operator/trail-operator/internal/objectstore/minio"
	"github.com/trail-operator/trail-operator/internal/objectstore/storetest"
	"github.com/trail-operator/trail-operator/test/testenv"
)

func TestMain(m *testing.M) {
	// The connections of a client end by themselves when they are idle.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

type start func(ctx context.Context, dir string, o testenv.S3Options) (*testenv.S3Server, error)

var servers = []struct {
	name  string
	start start
	tls   bool
}{
	{"versitygw", testenv.StartVersityGW, false},
	{"versitygw-TLS", testenv.StartVersityGW, true},
	{"minio", testenv.StartMinIO, false},
	{"minio-TLS", testenv.StartMinIO, true},
}

// onEachServer runs test against every server, each with a certificate of its
// own where it has TLS.
func onEachServer(t *testing.T, test func(t *testing.T, cfg objectstore.Config)) {
	if testing.Short() {
		t.Skip("needs S3 servers, which may have to be built first")
	}
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			var ca []byte
			o := testenv.S3Options{Log: t.Output(), Progress: os.Stderr}
			if server.tls {
				ca, o.CertFile, o.KeyFile = certificate(t, time.Now().Add(time.Hour), "127.0.0.1")
			}
			s, err := server.start(context.Background(), t.TempDir(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Stop)
			test(t, objectstore.Config{
				Endpoint: s.Endpoint, Region: s.Region, AccessKey: s.AccessKey, SecretKey: s.SecretKey, CA: ca, AllowPrivate: true,
			})
		})
	}
}

var buckets atomic.Int64

// open returns a bucket that does not exist yet.
func open(t *testing.T, cfg objectstore.Config) objectstore.Store {
	t.Helper()
	cfg.Bucket = fmt.Sprintf("bucket-%d", buckets.Add(1))
	s, err := minio.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConformance(t *testing.T) {
	onEachServer(t, func(t *testing.T, cfg objectstore.Config) {
		storetest.Run(t, func(t *testing.T) objectstore.Store { return open(t, cfg) })
	})
}

// certificate makes an authority and files with a certificate that it signed.
func certificate(t *testing.T, notAfter time.Time, host string) (ca []byte, certFile, keyFile string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &caKey.PublicKey, caKey)
	must(err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test server"},
		NotBefore: time.Now().Add(-12 * time.Hour), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = []net.IP{ip}
	} else {
		leaf.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, caKey)
	must(err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	must(err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	must(os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}), certFile, keyFile
}
