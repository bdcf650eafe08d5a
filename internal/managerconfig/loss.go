package managerconfig

// LossAccounting says whether the manager reads the metrics of API servers, for
// which it needs to get /metrics of each, to tell what they have lost.
type LossAccounting struct {
	// Disabled: nothing is read, and the condition NoLoss is never True.
	Disabled bool `json:"disabled,omitempty"`
}
