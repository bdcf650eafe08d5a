// Package crd holds the CustomResourceDefinitions of this version.
package crd

import "embed"

// Files are the manifests, one file each.
//
//go:embed *.yaml
var Files embed.FS
