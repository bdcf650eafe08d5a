package v1alpha1

// ConditionNoLoss is True when no event that the trail may have wanted was lost,
// False when some were, with numbers, and Unknown when that cannot be told. Ready
// does not follow it: recording goes on.
const ConditionNoLoss = "NoLoss"

// Reasons of NoLoss, which has ReasonPending and ReasonReceiverUnreachable, too.
const (
	// ReasonNothingLost: all that API servers have processed is accounted for.
	ReasonNothingLost = "NothingLost"
	// ReasonEventsLost: events were lost, by API servers or on the receiver's volume.
	ReasonEventsLost = "EventsLost"
	// ReasonTailNotEnabled: an API server has stopped or was started anew, and
	// without a tail nobody knows what it lost then.
	ReasonTailNotEnabled = "TailNotEnabled"
	// ReasonTailBehind: the tail of an API server has not sent everything yet.
	ReasonTailBehind = "TailBehind"
	// ReasonMetricsUnavailable: the metrics of an API server cannot be read.
	ReasonMetricsUnavailable = "MetricsUnavailable"
	// ReasonAPIServerNotIdentified: an API server sends events, or shows metrics, and
	// it is not known which of the others belong to it.
	ReasonAPIServerNotIdentified = "APIServerNotIdentified"
	// ReasonNotComparedYet: the first comparison comes after six minutes.
	ReasonNotComparedYet = "NotComparedYet"
	// ReasonEventsPossiblyLost: the receiver's volume is another one, or an older
	// state of itself.
	ReasonEventsPossiblyLost = "EventsPossiblyLost"
)

// AnnotationAcknowledgeLoss on a trail acknowledges everything that was lost, or
// may have been, up to a time: NoLoss speaks of it no more. Its value is that
// time as RFC 3339, which must not lie in the future.
const AnnotationAcknowledgeLoss = "trail-operator.io/acknowledge-loss"
