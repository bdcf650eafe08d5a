// Package managerconfig is the manager's own configuration file: what the
// installer decides, as opposed to the authors of trails.
package managerconfig

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"

	"sigs.k8s.io/yaml"
)

// Version and Kind stand at the top of the file.
const (
	APIVersion = "config.trail-operator.io/v1alpha1"
	Kind       = "ManagerConfig"
)

// maxSize bounds the file, in bytes.
const maxSize = 1 << 20

// defaultTrails is how many trails CloudTrail allows per account and region.
const defaultTrails = 5

// Config is the content of the file.
type Config struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`

	// Account is the number of this cluster, 12 digits; empty means one that
	// is derived from the UID of the namespace kube-system and kept. A cluster
	// that was cloned must be given its own.
	Account string `json:"account,omitempty"`
	// Region is where the cluster runs: lower-case letters, digits, hyphens.
	Region string `json:"region"`
	// Organization is the ID that clusters which belong together share: o- and
	// 10 to 32 lower-case letters and digits; empty for none.
	Organization string `json:"organization,omitempty"`
	// Namespace holds the installation: its Secrets and ConfigMaps.
	Namespace string `json:"namespace"`

	Receiver Receiver `json:"receiver"`
	Intake   Intake   `json:"intake,omitempty"`

	// Validation says how trails are validated on their schedules.
	Validation Validation `json:"validation,omitempty"`

	// TrailsPerNamespace is how many Trails a namespace may have, 1 to 100; left
	// out it is 5, as in CloudTrail. A smaller number takes no place away from
	// trails that have one.
	TrailsPerNamespace int `json:"trailsPerNamespace,omitempty"`

	// TenantDestinations let Trails that name no Secret write with the operator's
	// own identity, each namespace to its places only. Such Trails never change
	// settings of the bucket.
	TenantDestinations []TenantDestination `json:"tenantDestinations,omitempty"`

	// AllowedAddresses are loopback and link-local addresses that trails may
	// use as endpoints all the same: an address, an address range or a host
	// name, each of the three with an optional port except a range.
	AllowedAddresses []string `json:"allowedAddresses,omitempty"`
	// TrustedProxies are address ranges whose X-Forwarded-For is believed.
	TrustedProxies []string `json:"trustedProxies,omitempty"`
	// KeepSensitiveBodies keeps bodies of Secrets and tokens through intake;
	// their secret values are still removed from records.
	KeepSensitiveBodies bool `json:"keepSensitiveBodies,omitempty"`

	// LossAccounting says whether it is found out what API servers lose.
	LossAccounting LossAccounting `json:"lossAccounting,omitempty"`

	// MetricsBindAddress is where metrics are served; empty means
	// 127.0.0.1:8080, "0" switches them off.
	MetricsBindAddress string `json:"metricsBindAddress,omitempty"`
	// HealthBindAddress is where /healthz and /readyz are served; empty means :8081.
	HealthBindAddress string `json:"healthBindAddress,omitempty"`
	// LeaderElection is for more than one replica.
	LeaderElection bool `json:"leaderElection,omitempty"`
}

// Receiver says how the receiver is reached and run.
type Receiver struct {
	// Address is host:port of the receiver as the manager reaches it. With a
	// workload it may be left out, and is then that of the receiver's Service.
	Address string `json:"address,omitempty"`
	// APIServerAddress is host:port of the receiver as API servers reach it.
	// They mostly cannot resolve names of Services. Left out it is, with a
	// workload, the cluster IP of the receiver's Service; else Address.
	APIServerAddress string `json:"apiServerAddress,omitempty"`
	// APIServers are the names of the API servers that may send events, one
	// client certificate each.
	APIServers []string `json:"apiServers"`
	// Names are further host names and IP addresses that the receiver's
	// certificate is good for, besides those of the two addresses.
	Names []string `json:"names,omitempty"`
	// Workload has the manager run the receiver. Left out, somebody else runs
	// it, and Address is required.
	Workload *Workload `json:"workload,omitempty"`
}

// Load reads and checks the file at path. Its errors name the field and say
// what is expected.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the manager's configuration: %w", err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, fmt.Errorf("reading the manager's configuration: %w", err)
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse reads the YAML of a configuration strictly, checks it and fills in
// what may be left empty, except the account.
func Parse(raw []byte) (*Config, error) {
	if len(raw) > maxSize {
		return nil, errors.New("the file is longer than 1 MiB")
	}
	c := &Config{TrailsPerNamespace: defaultTrails}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		return nil, fmt.Errorf("reading YAML: %w", err)
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.Receiver.complete(c.Namespace)
	c.Intake.ForwardTo.complete(&c.Receiver)
	c.Validation.complete(c.Receiver.Workload)
	if c.MetricsBindAddress == "" {
		c.MetricsBindAddress = "127.0.0.1:8080"
	}
	if c.HealthBindAddress == "" {
		c.HealthBindAddress = ":8081"
	}
	return c, nil
}

// ServiceName is the name of the receiver's Service.
const ServiceName = "trail-receiver"

// complete fills in what may be left out. With a workload APIServerAddress
// stays empty until the Service has its cluster IP.
func (r *Receiver) complete(namespace string) {
	if r.Workload == nil {
		if r.APIServerAddress == "" {
			r.APIServerAddress = r.Address
		}
		return
	}
	if r.Address == "" {
		r.Address = net.JoinHostPort(ServiceName+"."+namespace+".svc", strconv.Itoa(IntakePort))
	}
	r.Workload.complete()
}

// ServedAt returns the Receiver of an installation whose Service has this
// cluster IP: it fills in APIServerAddress and makes the certificate good for it.
func (r Receiver) ServedAt(clusterIP string) Receiver {
	r.Names = append(slices.Clone(r.Names), clusterIP)
	if r.APIServerAddress == "" {
		r.APIServerAddress = net.JoinHostPort(clusterIP, strconv.Itoa(IntakePort))
	}
	return r
}
