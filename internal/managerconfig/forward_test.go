package managerconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestForwardTo(t *testing.T) {
	in := withWorkload + "intake: {forwardTo: {url: 'http://falco-k8saudit-webhook.falco.svc:9765/k8s-audit'}}\n"
	c, err := Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := ForwardTo{URL: "http://falco-k8saudit-webhook.falco.svc:9765/k8s-audit", TimeoutSeconds: 30, QueueBytes: 1 << 30}
	if d := cmp.Diff(want, c.Intake.ForwardTo); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]int32{443, 9000, 9765}, c.Receiver.Workload.NetworkPolicy.EgressPorts); d != "" {
		t.Error(d)
	}
	for url, port := range map[string]int32{"http://x/": 80, "https://x/a": 443, "https://x:8443/": 8443} {
		c, err := Parse([]byte(strings.Replace(in, "http://falco-k8saudit-webhook.falco.svc:9765/k8s-audit", url, 1)))
		if err != nil {
			t.Fatal(err)
		}
		ports := c.Receiver.Workload.NetworkPolicy.EgressPorts
		if ports[len(ports)-1] != port && port != 443 {
			t.Errorf("%s: egress to %v", url, ports)
		}
	}
}

func TestForwardToRefuses(t *testing.T) {
	for name, tc := range map[string]struct{ forward, want string }{
		"no URL":           {"{credentialsSecret: a}", "intake.forwardTo.url: must be http://"},
		"scheme":           {"{url: 'ftp://x'}", "intake.forwardTo.url: must be http://"},
		"password":         {"{url: 'https://a:b@x'}", "intake.forwardTo.url: must be http://"},
		"port":             {"{url: 'https://x:0'}", "intake.forwardTo.url: must be http://"},
		"itself":           {"{url: 'https://trail-receiver.trail-operator-system.svc:8443/v1/audit/a/b'}", "must not be this receiver itself"},
		"secret in clear":  {"{url: 'http://x', credentialsSecret: a}", "need an https url"},
		"CA in clear":      {"{url: 'http://x', ca: a}", "need an https url"},
		"CA":               {"{url: 'https://x', ca: a}", "intake.forwardTo.ca: must be certificates"},
		"Secret":           {"{url: 'https://x', credentialsSecret: A_B}", "intake.forwardTo.credentialsSecret: must be the name"},
		"timeout":          {"{url: 'https://x', timeoutSeconds: 301}", "intake.forwardTo.timeoutSeconds"},
		"negative timeout": {"{url: 'https://x', timeoutSeconds: -1}", "intake.forwardTo.timeoutSeconds"},
		"queue":            {"{url: 'https://x', queueBytes: 1}", "intake.forwardTo.queueBytes: must be at least"},
		"unknown":          {"{url: 'https://x', token: a}", `unknown field "token"`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(valid + "intake: {forwardTo: " + tc.forward + "}\n")); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Parse([]byte(withWorkload + "intake: {forwardTo: {url: 'https://x', queueBytes: 21474836481}}\n")); err == nil || !strings.Contains(err.Error(), "at most half") {
		t.Errorf("got %v", err)
	}
}
