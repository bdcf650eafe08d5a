package kube

import (
	"context"
	"maps"
	"slices"
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

// CompleteTrail completes one argument with the names of trails.
func CompleteTrail(c Cluster) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ns, err := c.Namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return names(cmd.Context(), c, &v1alpha1.TrailList{}, func(l *v1alpha1.TrailList) []string {
			out := make([]string, 0, len(l.Items))
			for i := range l.Items {
				out = append(out, l.Items[i].Name)
			}
			return out
		}, client.InNamespace(ns))
	}
}

// CompleteNamespace completes a namespace of the cluster.
func CompleteNamespace(c Cluster) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return names(cmd.Context(), c, &corev1.NamespaceList{}, func(l *corev1.NamespaceList) []string {
			out := make([]string, 0, len(l.Items))
			for i := range l.Items {
				out = append(out, l.Items[i].Name)
			}
			return out
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
