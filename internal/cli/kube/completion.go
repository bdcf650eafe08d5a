package kube

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/trail-operator/trail-operator/api/v1alpha1"
)

// Completion is silent about errors, quick to give up and bounded: somebody
// waits at the keyboard.
const (
	completionTimeout = 3 * time.Second
	completionLimit   = 500
)

// CompleteTrail completes one argument TRAIL: with the names of the Trails of
// the namespace and, as organizationtrail/NAME, with those of OrganizationTrails.
func CompleteTrail(c Cluster) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		kind, _, given := strings.Cut(typed, "/")
		prefix, organization := "", organizationPrefix
		if given {
			prefix, organization = kind+"/", kind+"/"
		}
		var out []string
		if ns, err := c.Namespace(); err == nil && (!given || slices.Contains(trailTypes, kind)) {
			trails, _ := names(cmd.Context(), c, &v1alpha1.TrailList{}, func(l *v1alpha1.TrailList) []string {
				return named(prefix, len(l.Items), func(i int) string { return l.Items[i].Name })
			}, client.InNamespace(ns))
			out = append(out, trails...)
		}
		if !given || slices.Contains(organizationTypes, kind) {
			trails, _ := names(cmd.Context(), c, &v1alpha1.OrganizationTrailList{}, func(l *v1alpha1.OrganizationTrailList) []string {
				return named(organization, len(l.Items), func(i int) string { return l.Items[i].Name })
			})
			out = append(out, trails...)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// CompleteNamespace completes a namespace of the cluster.
func CompleteNamespace(c Cluster) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(cmd.Context(), c, &corev1.NamespaceList{}, func(l *corev1.NamespaceList) []string {
			return named("", len(l.Items), func(i int) string { return l.Items[i].Name })
		})
	}
}

// CompleteContext completes a context of the kubeconfig.
func CompleteContext(flags genericclioptions.RESTClientGetter) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		config, err := flags.ToRawKubeConfigLoader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(config.Contexts)), cobra.ShellCompDirectiveNoFileComp
	}
}

func named(prefix string, n int, name func(int) string) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + name(i)
	}
	return out
}

func names[L client.ObjectList](ctx context.Context, c Cluster, list L, of func(L) []string, opts ...client.ListOption) ([]string, cobra.ShellCompDirective) {
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	cl, err := c.Client()
	if err != nil || cl.List(ctx, list, append(opts, client.Limit(completionLimit))...) != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return of(list), cobra.ShellCompDirectiveNoFileComp
}
