// Package e2e runs the product on a real cluster of one node, as a user would:
// installed from images and manifests, with pods, volumes, Services and an API
// server that posts its audit events. `make e2e` runs it; package hack/cluster
// makes the cluster.
package e2e
