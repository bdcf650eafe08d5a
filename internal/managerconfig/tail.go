package managerconfig

// Tail says whether programs on the machines of API servers send what stands in
// their audit logs, so that nothing is lost while the receiver is away. They show
// tokens of the ServiceAccount trail-tail of the installation's namespace. What
// arrives in both ways is recorded once, for which the receiver keeps an index of
// the last hour's events.
type Tail struct {
	// Enabled lets them post.
	Enabled bool `json:"enabled,omitempty"`
}
