package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// createTrail is what a user does.
func (d *demo) createTrail() error {
	d.chapter("A tenant asks for a trail of the namespace %q", namespace)
	for _, m := range []string{
		fmt.Sprintf(tenant, namespace),
		fmt.Sprintf(credentials, namespace, d.s3.AccessKey, d.s3.SecretKey),
	} {
		if _, err := d.quiet(m, "kubectl apply -f -"); err != nil {
			return err
		}
	}
	manifest := fmt.Sprintf(trailManifest, namespace, d.s3.Endpoint, bucket)
	d.indent(manifest)
	if _, err := d.show(manifest, "kubectl apply -f -"); err != nil {
		return err
	}
	d.say("The operator may not read the tenant's Secret yet; the tenant allows exactly that one:")
	grant := "kubectl trail grant audit -n " + namespace
	role, err := d.quiet("", grant)
	if err != nil {
		return err
	}
	if err := d.piped(role, grant, "kubectl apply -f -"); err != nil {
		return err
	}
	if err := d.until("Ready", time.Minute, func() error {
		t, err := d.trail()
		if err != nil {
			return err
		}
		for _, c := range t.Status.Conditions {
			if c.Type == v1alpha1.ConditionReady {
				if c.Status == "True" && c.ObservedGeneration == t.Generation {
					return nil
				}
				return fmt.Errorf("%s: %s", c.Reason, c.Message)
			}
		}
		return fmt.Errorf("no condition yet")
	}); err != nil {
		return err
	}
	_, err = d.show("", "kubectl get trails -n "+namespace)
	return err
}

func (d *demo) trail() (*v1alpha1.Trail, error) {
	out, err := d.quiet("", "kubectl get trail audit -o json -n "+namespace)
	if err != nil {
		return nil, err
	}
	t := &v1alpha1.Trail{}
	return t, json.Unmarshal([]byte(out), t)
}

// suspend stops recording: what is pending is delivered, then a final digest.
func (d *demo) suspend() error {
	d.chapter("Suspending the trail: the last file is delivered, a final digest seals the chain")
	patch := `kubectl patch trail audit --type merge -p {"spec":{"suspend":true}} -n ` + namespace
	if _, err := d.show("", patch); err != nil {
		return err
	}
	if err := d.until("the final digest", time.Minute, func() error {
		t, err := d.trail()
		if err != nil {
			return err
		}
		if t.Status.Head == nil || !t.Status.Head.Final {
			return fmt.Errorf("the head is not final yet")
		}
		return nil
	}); err != nil {
		return err
	}
	_, err := d.show("", "kubectl trail status -n "+namespace)
	return err
}

const tenant = `apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: developer, namespace: %[1]s}
rules:
- {apiGroups: ["", apps], resources: [deployments, configmaps, secrets], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developers, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: developer}
subjects: [{kind: Group, name: developers, apiGroup: rbac.authorization.k8s.io}]
`

const credentials = `apiVersion: v1
kind: Secret
metadata: {name: bucket, namespace: %s}
stringData: {AWS_ACCESS_KEY_ID: %q, AWS_SECRET_ACCESS_KEY: %q}
`

const trailManifest = `apiVersion: trail-operator.io/v1alpha1
kind: Trail
metadata:
  name: audit
  namespace: %s
spec:
  destination:
    endpoint: %s
    bucket: %s
    credentialsSecretRef:
      name: bucket
`
