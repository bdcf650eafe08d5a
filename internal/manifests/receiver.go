package manifests

import (
	"hash/fnv"
	"strconv"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
)

// ReceiverShards is the number of Secrets that hold the files of trails. It
// never changes: a volume that projects them names each. The last of them are
// for OrganizationTrails alone, so that no tenant can fill them.
const (
	ReceiverShards     = 16
	organizationShards = 4
)

// MaxSecretData bounds the data of one Secret, in bytes, with some room below
// the API server's limit of 1 MiB.
const MaxSecretData = 1_000_000

// ReceiverShard is the shard in which the file of the trail with this UID
// begins. It stays in the one where it is.
func ReceiverShard(uid string, organization bool) int {
	h := fnv.New32a()
	h.Write([]byte(uid))
	const first = ReceiverShards - organizationShards
	if organization {
		return first + int(h.Sum32()%organizationShards)
	}
	return int(h.Sum32() % first)
}

// ReceiverShardName is the name of the Secret of a shard.
func ReceiverShardName(shard int) string { return ReceiverConfigName + "-" + strconv.Itoa(shard) }

// ReceiverConfig builds a Secret with files of the receiver's configuration.
// Applying it fails when somebody has changed the Secret since it had this
// resourceVersion.
func ReceiverConfig(namespace, name, resourceVersion string, files map[string][]byte) *corev1ac.SecretApplyConfiguration {
	return corev1ac.Secret(name, namespace).
		WithResourceVersion(resourceVersion).
		WithLabels(labels("receiver")).
		WithLabels(map[string]string{ReceiverConfigLabel: "true"}).
		WithData(files)
}

// DataSize is what the data of a Secret counts for, in bytes.
func DataSize(files map[string][]byte) int {
	n := 0
	for name, b := range files {
		n += len(name) + len(b)
	}
	return n
}
