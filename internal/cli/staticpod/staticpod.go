// Package staticpod reads how a kube-apiserver that runs as a pod is told to
// audit, and compares it with what is asked for.
package staticpod

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/trail-operator/trail-operator/internal/auditpolicy"
)

// Container is the name of the container, and of its program.
const Container = "kube-apiserver"

// Names of flags.
const (
	flagPolicy  = "audit-policy-file"
	flagWebhook = "audit-webhook-config-file"
	flagMode    = "audit-webhook-mode"
	flagLog     = "audit-log-path"

	modeBatch = "batch"
)

// Audit is how a kube-apiserver is told to audit.
type Audit struct {
	// Policy, Webhook and Log are files as kube-apiserver sees them; empty when not given.
	Policy, Webhook, Log string
	// Broken are sentences: with these no event reaches the receiver, or API
	// calls wait for it.
	Broken []string
	// Differences are flags that differ from what is asked for, such as
	// "--audit-webhook-batch-max-wait is 30s instead of 1s".
	Differences []string
}

// Of reads the audit settings of the container kube-apiserver, nil when the
// pod has none.
func Of(pod *corev1.PodSpec) *Audit {
	for i := range pod.Containers {
		if c := &pod.Containers[i]; c.Name == Container {
			return of(pod, c)
		}
	}
	return nil
}

func of(pod *corev1.PodSpec, c *corev1.Container) *Audit {
	given := flags(append(append([]string{}, c.Command...), c.Args...))
	a := &Audit{Policy: given[flagPolicy], Webhook: given[flagWebhook], Log: given[flagLog]}
	if a.Policy == "" {
		a.Broken = append(a.Broken, "it has no --"+flagPolicy+", so it records nothing")
	}
	if a.Webhook == "" {
		a.Broken = append(a.Broken, "it has no --"+flagWebhook+", so it sends nothing")
		return a.mounted(pod, c)
	}
	if mode, ok := given[flagMode]; ok && mode != modeBatch {
		a.Broken = append(a.Broken, fmt.Sprintf("--%s is %s, so every API call waits for the receiver", flagMode, shown(mode)))
	}
	for _, want := range auditpolicy.Flags(auditpolicy.Files{Policy: a.Policy, Kubeconfig: a.Webhook}) {
		value, ok := given[want.Name]
		switch {
		case want.Name == flagMode, want.Name == flagPolicy: // batch is the default
		case !ok:
			a.Differences = append(a.Differences, fmt.Sprintf("--%s is missing, %s is asked for", want.Name, want.Value))
		case !same(value, want.Value):
			a.Differences = append(a.Differences, fmt.Sprintf("--%s is %s instead of %s", want.Name, shown(value), want.Value))
		}
	}
	return a.mounted(pod, c)
}

// mounted checks that the files lie in folders of the node, which a static pod
// sees only when they are mounted.
func (a *Audit) mounted(pod *corev1.PodSpec, c *corev1.Container) *Audit {
	for _, f := range []struct {
		name, path string
		write      bool
	}{{flagPolicy, a.Policy, false}, {flagWebhook, a.Webhook, false}, {flagLog, a.Log, true}} {
		if f.path == "" || f.path == "-" {
			continue
		}
		m := mount(c, f.path)
		switch {
		case m == nil && f.write:
			a.Differences = append(a.Differences, fmt.Sprintf("no volume is mounted at %s, so the log of --%s goes with the container", shown(path.Dir(f.path)), f.name))
		case m == nil:
			a.Broken = append(a.Broken, fmt.Sprintf("no volume is mounted at %s, where --%s looks for its file", shown(path.Dir(f.path)), f.name))
		case !hasVolume(pod, m.Name):
			a.Broken = append(a.Broken, fmt.Sprintf("the volume %s, which --%s needs, is not among the volumes", shown(m.Name), f.name))
		case f.write && m.ReadOnly:
			a.Broken = append(a.Broken, fmt.Sprintf("%s is mounted read-only, and --%s writes there", shown(m.MountPath), f.name))
		}
	}
	return a
}

// mount is the innermost mount that holds the file.
func mount(c *corev1.Container, file string) *corev1.VolumeMount {
	var best *corev1.VolumeMount
	for i := range c.VolumeMounts {
		m := &c.VolumeMounts[i]
		at := path.Clean(m.MountPath)
		inside := file == at || strings.HasPrefix(path.Clean(file), strings.TrimSuffix(at, "/")+"/")
		if inside && (best == nil || len(at) > len(path.Clean(best.MountPath))) {
			best = m
		}
	}
	return best
}

// HostPath is where the node has a file that kube-apiserver sees at p; empty
// when it is on no folder of the node.
func HostPath(pod *corev1.PodSpec, p string) string {
	for i := range pod.Containers {
		if pod.Containers[i].Name != Container {
			continue
		}
		m := mount(&pod.Containers[i], p)
		if m == nil {
			return ""
		}
		for _, v := range pod.Volumes {
			if v.Name == m.Name && v.HostPath != nil {
				return path.Join(v.HostPath.Path, m.SubPath, strings.TrimPrefix(path.Clean(p), path.Clean(m.MountPath)))
			}
		}
	}
	return ""
}

func hasVolume(pod *corev1.PodSpec, name string) bool {
	for _, v := range pod.Volumes {
		if v.Name == name {
			return true
		}
	}
	return false
}

// flags are those of a command line by name; the last one counts.
func flags(args []string) map[string]string {
	given := map[string]string{}
	for i := 0; i < len(args); i++ {
		name, ok := strings.CutPrefix(args[i], "--")
		if !ok {
			continue
		}
		name, value, hasValue := strings.Cut(name, "=")
		if !hasValue {
			value = "true"
			if i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") {
				value = args[i+1]
			}
		}
		given[name] = value
	}
	return given
}

// same compares values as kube-apiserver understands them.
func same(a, b string) bool {
	if a == b {
		return true
	}
	if x, err := time.ParseDuration(a); err == nil {
		y, err := time.ParseDuration(b)
		return err == nil && x == y
	}
	if x, err := strconv.ParseBool(a); err == nil {
		y, err := strconv.ParseBool(b)
		return err == nil && x == y
	}
	return false
}

// shown bounds what a pod says of itself.
func shown(s string) string {
	const limit = 120
	if r := []rune(s); len(r) > limit {
		s = string(r[:limit]) + "…"
	}
	if s == "" {
		return `""`
	}
	return s
}
