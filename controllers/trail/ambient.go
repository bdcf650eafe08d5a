package trail

import (
	"context"

	"github.com/trail-operator/trail-operator/internal/managerconfig"
	"github.com/trail-operator/trail-operator/internal/status"
)

// mapping is the installer's word that the trail of a tenant may write with the
// operator's own identity. It counts with the public CAs only: who can have a
// server of its own trusted could read what is sent.
func (s *scope) mapping() (managerconfig.TenantDestination, bool) {
	d := s.trail.Spec.Destination
	if s.trail.IsOrganizationTrail() || d.CredentialsSecretRef != nil || d.CA != "" {
		return managerconfig.TenantDestination{}, false
	}
	return s.Config.TenantDestinationOf(managerconfig.TenantDestination{
		Namespace: s.trail.Namespace, Endpoint: d.Endpoint, Region: d.RegionOrDefault(), Bucket: d.Bucket, Prefix: s.trail.Prefix(),
	})
}

// mayBeAmbient reports whether the trail may write with the operator's own
// identity. A tenant's may only where the installer said so, and as far.
func (s *scope) mayBeAmbient() bool {
	if s.trail.IsOrganizationTrail() {
		return s.trail.Spec.Destination.CredentialsSecretRef == nil
	}
	_, mapped := s.mapping()
	return mapped && s.keepToMapping() == nil
}

// keepToMapping refuses what a tenant may not do to the installer's bucket with
// the operator's identity: to lock objects there, which nobody can take back, and
// to use whatever key the operator may use.
func (s *scope) keepToMapping() error {
	m, mapped := s.mapping()
	if !mapped {
		return nil
	}
	const instead = "Ask the installer to set %s in the namespace's place of tenantDestinations, or name a Secret with credentials."
	d := s.trail.Spec.Destination
	switch {
	case d.ObjectLock == nil || d.ObjectLock.Days <= m.MaxObjectLockDays:
	case m.MaxObjectLockDays == 0:
		return status.Invalid("The field spec.destination.objectLock is invalid: a Trail that writes with the operator's identity may not lock objects there. Remove it. "+instead, "maxObjectLockDays")
	default:
		return status.Invalid("The field spec.destination.objectLock.days is invalid: a Trail that writes with the operator's identity may lock objects there for %d days. "+instead, m.MaxObjectLockDays, "maxObjectLockDays")
	}
	if d.Encryption != nil && d.Encryption.KMSKeyID != "" && d.Encryption.KMSKeyID != m.KMSKeyID {
		return status.Invalid("The field spec.destination.encryption.kmsKeyID is invalid: a Trail that writes with the operator's identity may not name this key. Remove it. "+instead, "kmsKeyID")
	}
	return nil
}

// revoke takes the operator's own identity from a trail that has lost the right
// to it, before anything that may be wrong with the trail ends the steps.
func (s *scope) revoke(ctx context.Context) error {
	if s.rendered == nil || !s.rendered.Destination.Ambient || s.mayBeAmbient() {
		return nil
	}
	s.rendered.Destination.Ambient = false
	return s.Installation.Publisher.Put(ctx, *s.rendered)
}
