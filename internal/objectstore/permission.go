package objectstore

// permissions are those of S3 that calls for settings of a bucket need.
var permissions = map[Op]string{
	OpCreateBucket:  "s3:CreateBucket",
	OpGetVersioning: "s3:GetBucketVersioning",
	OpSetVersioning: "s3:PutBucketVersioning",
	OpGetEncryption: "s3:GetEncryptionConfiguration",
	OpSetEncryption: "s3:PutEncryptionConfiguration",
	OpGetObjectLock: "s3:GetBucketObjectLockConfiguration",
	OpSetObjectLock: "s3:PutBucketObjectLockConfiguration",
	OpGetLifecycle:  "s3:GetLifecycleConfiguration",
	OpSetLifecycle:  "s3:PutLifecycleConfiguration",
	OpGetTags:       "s3:GetBucketTagging",
	OpSetTags:       "s3:PutBucketTagging",
	OpGetPolicy:     "s3:GetBucketPolicy",
	OpSetPolicy:     "s3:PutBucketPolicy",
}

// Permission is the permission of S3 that the call needs on the bucket; empty
// for calls about objects, which need more than one.
func (o Op) Permission() string { return permissions[o] }
