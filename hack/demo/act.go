package main

import (
	"fmt"
	"time"
)

// act is what several people do in the tenant's namespace.
func (d *demo) act() error {
	d.chapter("People work in %q", namespace)
	in := " -n " + namespace
	for _, line := range []string{
		"kubectl --kubeconfig " + d.kubeconfig("ann") + " create deployment web --image=example.com/web:1" + in,
		"kubectl --kubeconfig " + d.kubeconfig("ann") + " create configmap settings --from-literal=theme=green" + in,
		"kubectl --kubeconfig " + d.kubeconfig("ann") + " create configmap flags --from-literal=beta=on" + in,
		"kubectl --kubeconfig " + d.kubeconfig("ann") + " get secret bucket -o name" + in,
		"kubectl --as ann --as-group developers create configmap by-support --from-literal=ticket=42" + in,
	} {
		if _, err := d.show("", line); err != nil {
			return err
		}
	}
	if _, err := d.refused(1, "kubectl --kubeconfig "+d.kubeconfig("bob")+" delete deployment web"+in); err != nil {
		return err
	}
	time.Sleep(1100 * time.Millisecond) // record times are whole seconds; the story reads better in order
	for _, line := range []string{
		"kubectl --kubeconfig " + d.kubeconfig("mallory") + " delete deployment web" + in,
		"kubectl --kubeconfig " + d.kubeconfig("mallory") + " delete --raw /api/v1/namespaces/" + namespace + "/configmaps?labelSelector=!keep",
	} {
		if _, err := d.quiet("", line); err != nil {
			return err
		}
	}
	d.say("… and then the Deployment %q and all ConfigMaps are gone. Who was it?", "web")
	_, err := d.show("", "kubectl get deployments,configmaps"+in)
	return err
}

// stay keeps everything up until the person ends it.
func (d *demo) stay() error {
	d.chapter("Everything stays up until you press Ctrl-C")
	fmt.Fprintf(d.out, `
   export KUBECONFIG=%s PATH=%s:$PATH
   export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s

   S3 endpoint   %s   bucket %s
   receiver      https://%s
   logs          %s, %s

   Things to try:
     kubectl trail status -A
     kubectl patch trail audit -n %s --type merge -p '{"spec":{"suspend":false}}'
     kubectl -n %s create configmap hello --from-literal=a=b
     kubectl -n %s get trail audit -o yaml
     kubectl trail head audit -n %s > anchor.json
     kubectl trail validate-logs audit -n %s --head anchor.json
     aws --endpoint-url %s s3 ls --recursive s3://%s/
`, d.kubeconfig("admin"), d.path, d.s3.AccessKey, d.s3.SecretKey, d.s3.Endpoint, bucket, d.receiver,
		d.processes.logs, d.cluster.Dir, namespace, namespace, namespace, namespace, namespace, d.s3.Endpoint, bucket)
	<-d.ctx.Done()
	return nil
}
