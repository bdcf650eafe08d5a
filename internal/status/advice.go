package status

import (
	"fmt"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// whose are the credentials of a trail, for a sentence.
func whose(t *v1alpha1.Trail) string {
	if secret := t.Spec.Destination.CredentialsSecret(); secret != "" {
		return "the credentials in the Secret " + secret
	}
	return "the operator's own identity"
}

// server of a trail, for a sentence.
func server(t *v1alpha1.Trail) string {
	d := t.Spec.Destination
	if d.Endpoint == "" {
		return "of AWS in " + d.RegionOrDefault()
	}
	return d.Endpoint
}

// advice says what to do about a failure of the trail's destination. code is
// an S3 error code, or empty.
func advice(t *v1alpha1.Trail, reason, code string) string {
	d := t.Spec.Destination
	switch reason {
	case v1alpha1.ReasonBucketNotFound:
		return fmt.Sprintf("The bucket %s does not exist and could not be created. Create it, or allow %s to.", d.Bucket, whose(t))
	case v1alpha1.ReasonWrongRegion:
		return fmt.Sprintf("The bucket %s is not in the region %s. Set spec.destination.region to the region that it is in.", d.Bucket, d.RegionOrDefault())
	case v1alpha1.ReasonAccessDenied:
		return fmt.Sprintf("The bucket %s may not be used with %s. Allow s3:ListBucket on it, and s3:PutObject and s3:GetObject below the prefix %s%s. `kubectl trail bucket-policy` prints a policy.",
			d.Bucket, whose(t), t.Prefix(), objectPermissions(d))
	case v1alpha1.ReasonInvalidCredentials:
		if d.CredentialsSecret() == "" {
			return fmt.Sprintf("The server %s does not accept the operator's own identity, or the operator has none. Give its service account one, or name a Secret in spec.destination.credentialsSecretRef.", server(t))
		}
		return fmt.Sprintf("The server %s does not know the credentials in the Secret %s. Correct %s and %s in it.", server(t), d.CredentialsSecret(),
			v1alpha1.SecretAccessKeyID, v1alpha1.SecretSecretAccessKey)
	case v1alpha1.ReasonCertificateNotTrusted:
		return fmt.Sprintf("The certificate of the server %s has expired, is for another name, or comes from a CA that is not trusted. Renew it, or put its CA into spec.destination.ca.", server(t))
	case v1alpha1.ReasonAddressNotAllowed:
		return fmt.Sprintf("The server %s is at an address that trails may not use: loopback, link-local or the API server. Use another endpoint. For one that is loopback or link-local, ask the installer to add it to allowedAddresses.", server(t))
	case v1alpha1.ReasonClockSkew:
		return fmt.Sprintf("The clock of the server %s differs from ours by more than five minutes. Set the one that is wrong.", server(t))
	case v1alpha1.ReasonThrottled:
		return fmt.Sprintf("The server %s asks to slow down. Deliveries go on more slowly.", server(t))
	case v1alpha1.ReasonEndpointUnreachable:
		return fmt.Sprintf("The server %s does not answer. Check spec.destination.endpoint, the server and the network between.", server(t))
	case v1alpha1.ReasonEncryptionIgnored:
		return fmt.Sprintf("The server %s accepts spec.destination.encryption and stores objects unencrypted, or with another key. Use a server that encrypts, or remove the field.", server(t))
	case v1alpha1.ReasonRetentionIgnored:
		return fmt.Sprintf("The server %s accepts spec.destination.objectLock and does not lock objects, or does not say so: allow s3:GetObjectRetention with %s, use a server with object lock, or remove the field.",
			server(t), whose(t))
	case v1alpha1.ReasonProtectionMissing:
		return fmt.Sprintf("The server %s refuses objects that are encrypted or locked as the spec asks: it lacks the feature, the bucket was created without object lock, or the encryption key cannot be used. "+
			"Check spec.destination.encryption and spec.destination.objectLock.", server(t))
	}
	if code != "" {
		return fmt.Sprintf("The server %s refused with the S3 error code %s.", server(t), code)
	}
	return fmt.Sprintf("The server %s gave an answer that is not understood. Check that it is an S3 server.", server(t))
}

// objectPermissions are those that protected objects need besides.
func objectPermissions(d v1alpha1.Destination) string {
	s := ""
	if d.ObjectLock != nil {
		s += ", with s3:PutObjectRetention and s3:GetObjectRetention"
	}
	if d.Encryption != nil && d.Encryption.Type == v1alpha1.EncryptionKMS {
		s += ", and the use of the KMS key"
	}
	return s
}
