package intake

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"github.com/trail-operator/trail-operator/internal/spool"
)

// vaultDocument holds the vault's key, sealed with one that the volume does not
// hold.
const vaultDocument = "quarantine-key"

// vaultUse separates what is derived from the installation's key from its other uses.
const vaultUse = "trail-operator/quarantine/v1"

const vaultIDSize = 4

var (
	errLocked    = errors.New("the copies in quarantine cannot be opened yet: there is no configuration")
	errOtherKey  = errors.New("it was sealed under a signing key that this installation no longer has")
	errUnsealed  = errors.New("its copy is damaged")
	errVaultSize = errors.New("the key of the quarantine is damaged")
)

// vault seals the copies of items in quarantine, which may hold any credential:
// what cannot be understood cannot be redacted. Its random key lies on the
// volume, sealed with one that is derived from the installation's signing key,
// which never does.
type vault struct {
	mu   sync.Mutex
	key  []byte // nil while it is locked
	id   [vaultIDSize]byte
	aead cipher.AEAD
}

// unlock opens the vault with the installation's key. When that has changed, the
// vault's own is sealed anew. A key that cannot be opened is replaced; what was
// sealed with it stays closed, which lost reports.
func (v *vault) unlock(s spool.Spool, master []byte) (lost bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	derived, err := hkdf.Key(sha256.New, master, nil, vaultUse, sha256.Size)
	if err != nil {
		return false, fmt.Errorf("derive the key of the quarantine: %w", err)
	}
	outer, err := newAEAD(derived)
	if err != nil {
		return false, err
	}
	stored, err := s.Get(vaultDocument)
	if err != nil {
		return false, fmt.Errorf("read the key of the quarantine: %w", err)
	}
	key, err := open(outer, stored, []byte(vaultUse))
	if err == nil {
		return false, v.use(key)
	}
	lost = stored != nil && v.key == nil
	if key = v.key; key == nil {
		key = make([]byte, sha256.Size)
		_, _ = rand.Read(key) // never fails since Go 1.24
	}
	if err := s.Commit(spool.Expect(vaultDocument, stored), spool.Set(vaultDocument, seal(outer, nil, key, []byte(vaultUse)))); err != nil {
		return false, fmt.Errorf("store the key of the quarantine: %w", err)
	}
	return lost, v.use(key)
}

func (v *vault) use(key []byte) error {
	if bytes.Equal(key, v.key) {
		return nil
	}
	if len(key) != sha256.Size {
		return errVaultSize
	}
	aead, err := newAEAD(key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append([]byte(vaultUse), key...))
	v.key, v.aead = key, aead
	copy(v.id[:], sum[:])
	return nil
}

// seal returns nil while the vault is locked. The copy opens for the same sum only.
func (v *vault) seal(content []byte, sum *[sha256.Size]byte) []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.key == nil {
		return nil
	}
	return seal(v.aead, v.id[:], content, sum[:])
}

func (v *vault) open(sealed []byte, sum *[sha256.Size]byte) ([]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.key == nil:
		return nil, errLocked
	case len(sealed) < vaultIDSize:
		return nil, errUnsealed
	case !bytes.Equal(sealed[:vaultIDSize], v.id[:]):
		return nil, errOtherKey
	}
	return open(v.aead, sealed[vaultIDSize:], sum[:])
}

func newAEAD(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("the key of the quarantine: %w", err)
	}
	return cipher.NewGCM(block)
}

// seal appends a random nonce and the encrypted content to prefix.
func seal(aead cipher.AEAD, prefix, content, bound []byte) []byte {
	out := make([]byte, len(prefix)+aead.NonceSize(), len(prefix)+aead.NonceSize()+len(content)+aead.Overhead())
	nonce := out[copy(out, prefix):]
	_, _ = rand.Read(nonce) // never fails since Go 1.24
	return aead.Seal(out, nonce, content, bound)
}

func open(aead cipher.AEAD, sealed, bound []byte) ([]byte, error) {
	if len(sealed) < aead.NonceSize() {
		return nil, errUnsealed
	}
	content, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], bound)
	if err != nil {
		return nil, errUnsealed
	}
	return content, nil
}
